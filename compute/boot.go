package compute

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// BootRequest asks for servers.
type BootRequest struct {
	Name        string
	Description *string
	Hostname    string // empty: made of the name
	ImageID     string // empty: Disks say what to boot from
	FlavorID    string
	// Networks are the cards. Without any, Automatic gives the project's one
	// network, if it has one, Allocate refuses if it has not, and None gives no card
	// at all.
	Networks        []network.PortRequest
	Automatic, None bool
	Allocate        bool
	SecurityGroups  []string // of ports that are made: names or IDs
	Disks           []DiskRequest
	SharedToo       bool // see [AttachRequest]
	KeyName         string
	UserData        string // in base64
	Metadata        map[string]string
	Tags            []string
	Zone            string // also zone:host, zone:host:node and zone::node, for operators
	Host, Node      string // for operators: the scheduler may say no
	Hints           map[string][]string
	ConfigDrive     bool
	Files           []InjectedFile
	AccessIPv4      string
	AccessIPv6      string
	DiskConfig      string // AUTO or MANUAL; empty: by the image
	AdminPass       string // empty: one is made
	// MinCount and MaxCount: as many servers as the quota allows between the two;
	// zero means one.
	MinCount, MaxCount int
}

// InjectedFile is a file that the guest finds on its config drive.
type InjectedFile struct {
	Path string
	Data []byte
}

// maxServers bounds how many servers one request makes.
const maxServers = 1000

// Boot implements [Servers].
func (s *Service) Boot(ctx context.Context, req BootRequest) ([]Server, error) {
	me := caller(ctx)
	target := map[string]any{"project_id": me.ProjectID, "user_id": me.UserID, "availability_zone": req.Zone}
	if err := s.cfg.Policy.Enforce(ctx, serversRule("create"), target); err != nil {
		return nil, err
	}
	// A retry would find its ports and volumes taken by what the first request made.
	if id, ok, err := s.cfg.Store.Made(ctx, "compute.boot"); ok || err != nil {
		if err != nil {
			return nil, err
		}
		first, err := bootedBefore(ctx, s.cfg.Store.Reader(), id)
		return s.withPasswords(first, req), err
	}
	b := &boot{s: s, req: req, target: target}
	if err := b.check(ctx); err != nil {
		return nil, err
	}
	return b.insert(ctx)
}

// boot is a request on its way to records.
type boot struct {
	s      *Service
	req    BootRequest
	target map[string]any
	row    serverRow // what all servers of the request have in common
	disks  []diskRow
	nics   []NIC
}

// insert makes the records in one transaction.
func (b *boot) insert(ctx context.Context) ([]Server, error) {
	s, req := b.s, b.req
	reservation := s.cfg.IDs.New()
	first := s.cfg.IDs.New()
	ids := make([]string, req.MaxCount)
	for i := range ids {
		if ids[i] = first; i > 0 {
			ids[i] = s.cfg.IDs.New()
		}
	}
	var out []Server
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = nil
		id, fresh, err := tx.Once(ctx, "compute.boot", first)
		if err != nil {
			return err
		}
		if !fresh {
			out, err = bootedBefore(ctx, tx, id)
			return err
		}
		n, err := s.bootQuota(ctx, tx, b.row.ProjectID, delta{1, b.row.VCPUs, b.row.MemoryMiB}, req.MinCount, req.MaxCount)
		if err != nil {
			return err
		}
		if b.row.GroupID != "" {
			if err := s.joinGroup(ctx, tx, b.row.GroupID, ids[:n]...); err != nil {
				return err
			}
		}
		rows := make([]serverRow, n)
		var disks []diskRow
		actions := make([]actionRow, n)
		for i := range rows {
			rows[i] = b.record(tx, ids[i], i, "r-"+strings.ReplaceAll(reservation, "-", "")[:8])
			for j, d := range b.disks {
				d.ID, d.ServerID, d.Position, d.CreatedAt = nephos.ChildID(ids[i], fmt.Sprint("disk ", j)), ids[i], j, tx.Now()
				disks = append(disks, d)
			}
			actions[i] = newAction(ctx, tx, &rows[i], "create")
			rows[i].Action = actions[i].RequestID
			if err := rows[i].emit(ctx, tx, "create"); err != nil {
				return err
			}
			rows[i].Wanted.Together = n > 1
		}
		// The first finds hosts for all, and wakes them.
		if err := reconcile.Enqueue(ctx, tx, kindServer, ids[0], time.Time{}); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		if len(disks) > 0 {
			if _, err := tx.NewInsert().Model(&disks).Returning("NULL").Exec(ctx); err != nil {
				return err
			}
		}
		if _, err := tx.NewInsert().Model(&actions).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		for _, r := range rows {
			out = append(out, r.Server)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.withPasswords(out, req), nil
}

// withPasswords tells the passwords that servers of the request have.
func (s *Service) withPasswords(servers []Server, req BootRequest) []Server {
	for i := range servers {
		if servers[i].AdminPass = req.AdminPass; req.AdminPass == "" {
			servers[i].AdminPass = s.adminPass(servers[i].ID)
		}
	}
	return servers
}

// bootedBefore returns what the first request with the same key made.
func bootedBefore(ctx context.Context, db bun.IDB, id string) ([]Server, error) {
	q := db.NewSelect().Model((*serverRow)(nil)).
		Where("server.reservation_id = (SELECT reservation_id FROM compute_servers WHERE id = ?)", id).
		Order("server.launch_index")
	servers, err := readServers(ctx, q, true)
	if err == nil && len(servers) == 0 {
		err = serverNotFound(id)
	}
	return servers, err
}

// record is the row of the i-th server.
func (b *boot) record(tx *store.Tx, id string, i int, reservation string) serverRow {
	row := b.row
	row.ID, row.LaunchIndex, row.ReservationID = id, i, reservation
	row.CreatedAt, row.UpdatedAt = tx.Now(), tx.Now()
	if b.req.MaxCount > 1 {
		row.Name = fmt.Sprintf("%s-%d", row.Name, i+1)
		if b.req.Hostname == "" {
			row.Hostname = fmt.Sprintf("%s-%d", row.Hostname, i+1)
		}
	}
	if row.Hostname == "" {
		row.Hostname = "Server-" + id
	}
	row.Metadata, row.NICs, row.Tags = orEmpty(row.Metadata), slices.Clone(b.nics), append([]string{}, row.Tags...)
	row.VMState, row.TaskState, row.Phase = Building, TaskScheduling, phaseSchedule
	row.SecurityGroups = append([]string{}, row.SecurityGroups...)
	row.Wanted.Seed = make([]byte, 32)
	b.s.cfg.IDs.Fill(row.Wanted.Seed)
	row.Tried, row.Revision, row.Generation, row.Power = []string{}, 1, 1, "on"
	return row
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// adminPass makes the password that a boot answers with: the same for the same
// server as long as the process lives, and kept nowhere.
func (s *Service) adminPass(id string) string {
	mac := hmac.New(sha256.New, s.passwordKey[:])
	mac.Write([]byte(id))
	return base32.StdEncoding.EncodeToString(mac.Sum(nil))[:12]
}
