package network

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// Agent is the part of a host that carries packets, as the Networking API's
// agents show it.
type Agent struct {
	ID, Host, Zone, Description       string
	Abilities                         []string
	Routes                            bool
	AdminUp, Alive                    bool
	CreatedAt, StartedAt, HeartbeatAt time.Time
	Networks, Ports, Routers          int
}

// Agents is what the Networking API's agents and availability zones need.
type Agents interface {
	ListAgents(ctx context.Context) ([]Agent, error)
	Agent(ctx context.Context, id string) (Agent, error)
	// UpdateAgent says whether new routers may be placed on the agent's host.
	UpdateAgent(ctx context.Context, id string, adminUp *bool, description *string) (Agent, error)
	DeleteAgent(ctx context.Context, id string) error
	// ListZones returns the availability zones that networks and routers can be in.
	ListZones(ctx context.Context) ([]string, error)
	// ListAvailability returns how many addresses of each network are used.
	ListAvailability(ctx context.Context, networkIDs ...string) ([]Availability, error)
}

var _ Agents = (*Service)(nil)

// ListAgents implements [Agents].
func (s *Service) ListAgents(ctx context.Context) ([]Agent, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, err
	}
	if !s.cfg.Policy.Allowed(ctx, "get_agent", nil) {
		return nil, nil
	}
	return s.agents(ctx, s.cfg.Store.Reader())
}

func (s *Service) agents(ctx context.Context, db bun.IDB) ([]Agent, error) {
	var rows []hostRow
	if err := db.NewSelect().Model(&rows).OrderExpr("host.host").Scan(ctx); err != nil {
		return nil, err
	}
	var counts []struct {
		Host        string
		Ports, Nets int
	}
	err := db.NewRaw("SELECT host, COUNT(*) AS ports, COUNT(DISTINCT network_id) AS nets FROM network_ports WHERE host <> '' GROUP BY host").Scan(ctx, &counts)
	if err != nil {
		return nil, err
	}
	agents := make([]Agent, len(rows))
	for i, r := range rows {
		a := Agent{
			ID: r.ID, Host: r.Host, Zone: r.Zone, Description: r.Description, Abilities: nonNil(r.Abilities), Routes: r.Routes, AdminUp: r.AdminUp,
			CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, HeartbeatAt: r.BeatAt, Alive: s.cfg.Clock.Now().Sub(r.BeatAt) <= s.cfg.HostTimeout,
		}
		if a.Zone == "" {
			a.Zone = s.cfg.Zone
		}
		for _, c := range counts {
			if c.Host == r.Host {
				a.Ports, a.Networks = c.Ports, c.Nets
			}
		}
		agents[i] = a
	}
	return agents, nil
}

// Agent implements [Agents].
func (s *Service) Agent(ctx context.Context, id string) (Agent, error) {
	if err := s.signedIn(ctx); err != nil {
		return Agent{}, err
	}
	if s.allow(ctx, nil, "get_agent") != nil {
		return Agent{}, agentNotFound(id)
	}
	agents, err := s.agents(ctx, s.cfg.Store.Reader())
	if err != nil {
		return Agent{}, err
	}
	i := slices.IndexFunc(agents, func(a Agent) bool { return a.ID == id })
	if i < 0 {
		return Agent{}, agentNotFound(id)
	}
	return agents[i], nil
}

// UpdateAgent implements [Agents].
func (s *Service) UpdateAgent(ctx context.Context, id string, adminUp *bool, description *string) (Agent, error) {
	if err := s.allow(ctx, nil, "update_agent"); err != nil {
		return Agent{}, err
	}
	a, err := s.Agent(ctx, id)
	if err != nil {
		return a, err
	}
	set(&a.AdminUp, adminUp)
	set(&a.Description, description)
	return a, s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NewRaw("UPDATE network_hosts SET admin_up = ?, description = ? WHERE id = ?", a.AdminUp, a.Description, id).Exec(ctx); err != nil {
			return err
		}
		return emit(ctx, tx, "agent.update", Meta{ID: id}, nil)
	})
}

// DeleteAgent implements [Agents].
func (s *Service) DeleteAgent(ctx context.Context, id string) error {
	if err := s.allow(ctx, nil, "delete_agent"); err != nil {
		return err
	}
	if _, err := s.Agent(ctx, id); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NewRaw("DELETE FROM network_hosts WHERE id = ?", id).Exec(ctx); err != nil {
			return err
		}
		return emit(ctx, tx, "agent.delete", Meta{ID: id}, nil)
	})
}

// zones are the zones of everything.
func (s *Service) zones() []string {
	if s.cfg.Fleet == nil {
		return []string{}
	}
	return []string{s.cfg.Zone}
}

// ListZones implements [Agents].
func (s *Service) ListZones(ctx context.Context) ([]string, error) {
	if err := s.allow(ctx, nil, "get_availability_zone"); err != nil {
		return nil, err
	}
	return []string{s.cfg.Zone}, nil
}

// checkZoneHints refuses zones that do not exist.
func (s *Service) checkZoneHints(hints []string) error {
	for _, h := range hints {
		if h != s.cfg.Zone {
			return notFoundOn("AvailabilityZoneNotFound", "AvailabilityZone %s could not be found.", h)
		}
	}
	return nil
}

// Availability is how many addresses a network has, and how many are used.
type Availability struct {
	NetworkID, NetworkName, ProjectID string
	Total, Used                       string // decimal, for they may be large
	Subnets                           []SubnetAvailability
}

// SubnetAvailability is the same for a subnet.
type SubnetAvailability struct {
	Subnet      Subnet
	Total, Used string
}

// ListAvailability implements [Agents].
func (s *Service) ListAvailability(ctx context.Context, networkIDs ...string) ([]Availability, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, err
	}
	// Whoever may not know sees none, as of agents.
	if !s.cfg.Policy.Allowed(ctx, "get_network_ip_availability", nil) {
		if len(networkIDs) == 1 {
			return nil, networkNotFound(networkIDs[0])
		}
		return nil, nil
	}
	db := s.cfg.Store.Reader()
	var nets []networkRow
	q := db.NewSelect().Model(&nets).OrderExpr("net.id")
	if len(networkIDs) > 0 {
		q = q.Where("net.id IN (?)", bun.List(networkIDs))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	if len(networkIDs) == 1 && len(nets) == 0 {
		return nil, networkNotFound(networkIDs[0])
	}
	ids := make([]string, len(nets))
	for i, n := range nets {
		ids[i] = n.ID
	}
	subnets, err := subnetsOf(ctx, db, ids...)
	if err != nil {
		return nil, err
	}
	var counts []struct {
		SubnetID string
		Used     int64
	}
	if err := db.NewRaw("SELECT subnet_id, COUNT(*) AS used FROM network_allocations GROUP BY subnet_id").Scan(ctx, &counts); err != nil {
		return nil, err
	}
	out := make([]Availability, len(nets))
	for i, n := range nets {
		total, used := newTally(), newTally()
		out[i] = Availability{NetworkID: n.ID, NetworkName: n.Name, ProjectID: n.ProjectID}
		for _, sub := range subnets {
			if sub.NetworkID != n.ID {
				continue
			}
			t, u := newTally(), newTally()
			for _, p := range sub.Pools {
				t.addPool(p)
			}
			for _, c := range counts {
				if c.SubnetID == sub.ID {
					u.add(c.Used)
				}
			}
			total.join(t)
			used.join(u)
			out[i].Subnets = append(out[i].Subnets, SubnetAvailability{sub, t.String(), u.String()})
		}
		out[i].Total, out[i].Used = total.String(), used.String()
	}
	return out, nil
}
