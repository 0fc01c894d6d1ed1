package compute

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Hypervisor is a host with what it has and what its servers take.
type Hypervisor struct {
	Host
	Number    int64  // by which old microversions know it and its service
	ServiceID string // of its nova-compute

	VCPUsUsed     int
	MemoryMiBUsed int
	ServerCount   int
	Workload      int            // servers that something is being done to
	HostedServers []HostedServer // where asked for
}

// HostedServer is a server as its hypervisor shows it.
type HostedServer struct{ ID, Name string }

// HypervisorFilter says what of hypervisors is wanted.
type HypervisorFilter struct {
	Name    string // a part of the host name; none that matches is ErrNotFound
	Detail  bool   // count what is used
	Servers bool   // list the servers
}

// HypervisorStatistics are sums over the hypervisors whose service is enabled.
type HypervisorStatistics struct {
	Count, VCPUs, VCPUsUsed, MemoryMiB, MemoryMiBUsed int
	DiskGiB, FreeDiskGiB, Servers, Workload           int
}

// Hypervisors is what the Compute API's hypervisors need. Their ids are UUIDs or
// the numbers that old microversions use.
type Hypervisors interface {
	// ListHypervisors returns hypervisors by name, and whether more follow.
	ListHypervisors(ctx context.Context, f HypervisorFilter, p nephos.Page) ([]Hypervisor, bool, error)
	// SearchHypervisors is ListHypervisors as old microversions have it.
	SearchHypervisors(ctx context.Context, f HypervisorFilter) ([]Hypervisor, error)
	Hypervisor(ctx context.Context, id string, servers bool) (Hypervisor, error)
	// HypervisorUptime is errors.ErrUnsupported: hosts do not tell.
	HypervisorUptime(ctx context.Context, id string) (string, error)
	HypervisorStatistics(ctx context.Context) (HypervisorStatistics, error)
}

var _ Hypervisors = (*Service)(nil)

// serviceID is the id of the service that runs a host's servers.
func serviceID(h Host) string { return nephos.ChildID(h.ID, "service") }

// hypervisors returns all hypervisors by name.
func (s *Service) hypervisors(ctx context.Context, f HypervisorFilter) ([]Hypervisor, error) {
	db := s.cfg.Store.Reader()
	hosts, err := loadHosts(ctx, db)
	if err != nil {
		return nil, err
	}
	numbers, err := s.hostNumbers(ctx, hosts)
	if err != nil {
		return nil, err
	}
	out := make([]Hypervisor, 0, len(hosts))
	for _, h := range hosts {
		if f.Name == "" || strings.Contains(strings.ToLower(h.Name), strings.ToLower(f.Name)) {
			out = append(out, Hypervisor{Host: h, Number: numbers[h.Name], ServiceID: serviceID(h)})
		}
	}
	if f.Name != "" && len(out) == 0 {
		return nil, nephos.Errorf(nephos.ErrNotFound, "No hypervisor matching '%s' could be found.", clip(f.Name))
	}
	return out, nil
}

// fill adds what is used, and the servers if they are asked for, by one query
// each.
func (s *Service) fill(ctx context.Context, list []Hypervisor, f HypervisorFilter) error {
	if len(list) == 0 || !f.Detail && !f.Servers {
		return nil
	}
	db := s.cfg.Store.Reader()
	names := make([]string, len(list))
	at := map[string]*Hypervisor{}
	for i := range list {
		names[i], at[list[i].Name] = list[i].Name, &list[i]
	}
	if f.Detail {
		var rows []struct {
			Host                  string
			N, Cores, RAM, Active int
		}
		err := db.NewSelect().Table("compute_servers").
			ColumnExpr("host, COUNT(*) AS n, COALESCE(SUM(vcpus), 0) AS cores, COALESCE(SUM(memory_mib), 0) AS ram, "+
				"COALESCE(SUM(CASE WHEN task_state <> '' THEN 1 ELSE 0 END), 0) AS active").
			Where("host IN (?) AND NOT deleted", bun.List(names)).Group("host").Scan(ctx, &rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			h := at[r.Host]
			h.ServerCount, h.VCPUsUsed, h.MemoryMiBUsed, h.Workload = r.N, r.Cores, r.RAM, r.Active
		}
	}
	if f.Servers {
		var rows []struct{ Host, ID, Name string }
		err := db.NewSelect().Table("compute_servers").Column("host", "id", "name").
			Where("host IN (?) AND NOT deleted", bun.List(names)).Order("created_at", "id").Scan(ctx, &rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			at[r.Host].HostedServers = append(at[r.Host].HostedServers, HostedServer{ID: r.ID, Name: r.Name})
		}
	}
	return nil
}

// ListHypervisors implements [Hypervisors].
func (s *Service) ListHypervisors(ctx context.Context, f HypervisorFilter, p nephos.Page) ([]Hypervisor, bool, error) {
	verb := "list"
	if f.Detail {
		verb = "list-detail"
	}
	if err := s.cfg.Policy.Enforce(ctx, hypervisorRule(verb), nil); err != nil {
		return nil, false, err
	}
	list, err := s.hypervisors(ctx, f)
	if err != nil {
		return nil, false, err
	}
	if p.Marker != "" {
		i := slices.IndexFunc(list, func(h Hypervisor) bool { return h.known(p.Marker) })
		if i < 0 {
			return nil, false, invalid("marker [%s] not found", clip(p.Marker)).WithField("marker")
		}
		list = list[i+1:]
	}
	more := p.Limit > 0 && len(list) > p.Limit
	if more {
		list = list[:p.Limit]
	}
	return list, more, s.fill(ctx, list, f)
}

// known reports whether the hypervisor goes by the id.
func (h Hypervisor) known(id string) bool {
	return h.ID == id || strconv.FormatInt(h.Number, 10) == id
}

// SearchHypervisors implements [Hypervisors].
func (s *Service) SearchHypervisors(ctx context.Context, f HypervisorFilter) ([]Hypervisor, error) {
	verb := "search"
	if f.Servers {
		verb = "servers"
	}
	if err := s.cfg.Policy.Enforce(ctx, hypervisorRule(verb), nil); err != nil {
		return nil, err
	}
	list, err := s.hypervisors(ctx, f)
	if err != nil {
		return nil, err
	}
	return list, s.fill(ctx, list, f)
}

// Hypervisor implements [Hypervisors].
func (s *Service) Hypervisor(ctx context.Context, id string, servers bool) (Hypervisor, error) {
	if err := s.cfg.Policy.Enforce(ctx, hypervisorRule("show"), nil); err != nil {
		return Hypervisor{}, err
	}
	return s.findHypervisor(ctx, id, HypervisorFilter{Detail: true, Servers: servers})
}

func (s *Service) findHypervisor(ctx context.Context, id string, f HypervisorFilter) (Hypervisor, error) {
	list, err := s.hypervisors(ctx, f)
	if err != nil {
		return Hypervisor{}, err
	}
	i := slices.IndexFunc(list, func(h Hypervisor) bool { return h.known(id) })
	if i < 0 {
		return Hypervisor{}, nephos.Errorf(nephos.ErrNotFound, "Hypervisor with ID '%s' could not be found.", clip(id))
	}
	one := list[i : i+1]
	err = s.fill(ctx, one, f)
	return one[0], err
}

// HypervisorUptime implements [Hypervisors].
func (s *Service) HypervisorUptime(ctx context.Context, id string) (string, error) {
	if err := s.cfg.Policy.Enforce(ctx, hypervisorRule("uptime"), nil); err != nil {
		return "", err
	}
	if _, err := s.findHypervisor(ctx, id, HypervisorFilter{}); err != nil {
		return "", err
	}
	return "", nephos.Errorf(errors.ErrUnsupported, "The requested functionality is not supported.")
}

// HypervisorStatistics implements [Hypervisors].
func (s *Service) HypervisorStatistics(ctx context.Context) (HypervisorStatistics, error) {
	var sum HypervisorStatistics
	if err := s.cfg.Policy.Enforce(ctx, hypervisorRule("statistics"), nil); err != nil {
		return sum, err
	}
	f := HypervisorFilter{Detail: true}
	list, err := s.hypervisors(ctx, f)
	if err != nil {
		return sum, err
	}
	if err := s.fill(ctx, list, f); err != nil {
		return sum, err
	}
	for _, h := range list {
		if h.Disabled {
			continue
		}
		sum.Count++
		sum.VCPUs += h.Beat.VCPUs
		sum.VCPUsUsed += h.VCPUsUsed
		sum.MemoryMiB += h.Beat.MemoryMiB
		sum.MemoryMiBUsed += h.MemoryMiBUsed
		sum.DiskGiB += h.Beat.DiskGiB
		sum.FreeDiskGiB += h.Beat.FreeDiskGiB
		sum.Servers += h.ServerCount
		sum.Workload += h.Workload
	}
	return sum, nil
}

type hostNumberRow struct {
	bun.BaseModel `bun:"table:compute_host_numbers,alias:num"`

	Number int64 `bun:",pk,autoincrement"`
	Host   string
}

// hostNumbers returns the number of each host, and gives one to those that have
// none yet.
func (s *Service) hostNumbers(ctx context.Context, hosts []Host) (map[string]int64, error) {
	load := func(ctx context.Context, db bun.IDB) (map[string]int64, []hostNumberRow, error) {
		var rows []hostNumberRow
		if err := db.NewSelect().Model(&rows).Scan(ctx); err != nil {
			return nil, nil, err
		}
		numbers := make(map[string]int64, len(rows))
		for _, r := range rows {
			numbers[r.Host] = r.Number
		}
		var missing []hostNumberRow
		for _, h := range hosts {
			if _, ok := numbers[h.Name]; !ok {
				missing = append(missing, hostNumberRow{Host: h.Name})
			}
		}
		return numbers, missing, nil
	}
	numbers, missing, err := load(ctx, s.cfg.Store.Reader())
	if err != nil || len(missing) == 0 {
		return numbers, err
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, missing, err := load(ctx, tx)
		if err != nil || len(missing) == 0 {
			return err
		}
		_, err = tx.NewInsert().Model(&missing).Returning("NULL").Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	numbers, _, err = load(ctx, s.cfg.Store.Reader())
	return numbers, err
}
