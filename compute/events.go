package compute

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
)

// eventCursor is how far the service has read the others' events.
const eventCursor = "compute"

// eventBatch bounds what is read of them at a time.
const eventBatch = 1000

// FollowEvents reads the events of the other services that came since it was
// last called, and takes over what servers show of them: addresses, floating
// addresses, ports that are gone. It returns how many it read. Call it whenever
// store.EventTopic is woken; [Service.Run] does.
func (s *Service) FollowEvents(ctx context.Context) (int, error) {
	ctx = nephos.WithCaller(ctx, nephos.Service("compute", nephos.Caller{}))
	after, err := s.cfg.Store.Cursor(ctx, eventCursor)
	if err != nil {
		return 0, err
	}
	total := 0
	for {
		events, err := s.cfg.Store.Events(ctx, after, eventBatch)
		if err != nil || len(events) == 0 {
			return total, err
		}
		total += len(events)
		after = events[len(events)-1].Seq
		var ids []string
		for _, e := range events {
			ids = append(ids, serversOf(e)...)
		}
		if err := s.refresh(ctx, ids); err != nil {
			return total, err
		}
		err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.SetCursor(ctx, eventCursor, after) })
		if err != nil {
			return total, err
		}
	}
}

// Run follows events until ctx ends.
func (s *Service) Run(ctx context.Context) {
	wake, stop := s.cfg.Store.Watch(store.EventTopic)
	defer stop()
	for ctx.Err() == nil {
		if _, err := s.FollowEvents(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("following events", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-s.cfg.Clock.After(time.Minute):
		}
		select { // let more come, so that a burst is read at once
		case <-ctx.Done():
		case <-s.cfg.Clock.After(100 * time.Millisecond):
		}
	}
}

// serversOf names the servers that an event is about.
func serversOf(e store.Event) []string {
	if e.Service != "network" || !strings.HasPrefix(e.Type, "port.") && !strings.HasPrefix(e.Type, "floatingip.") {
		return nil
	}
	var data struct {
		DeviceID   string   `json:"device_id"`
		DeviceIDs  []string `json:"device_ids"`
		DeviceKind string   `json:"device_owner"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return nil
	}
	if data.DeviceKind != "" && !strings.HasPrefix(data.DeviceKind, "compute:") {
		return nil
	}
	if data.DeviceID != "" {
		data.DeviceIDs = append(data.DeviceIDs, data.DeviceID)
	}
	return data.DeviceIDs
}

// refresh takes over what the network service says of servers' ports.
func (s *Service) refresh(ctx context.Context, ids []string) error {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for chunk := range slices.Chunk(ids, 200) {
		var rows []serverRow
		err := s.cfg.Store.Reader().NewSelect().Model(&rows).Column("id", "nics").
			Where("server.id IN (?) AND NOT server.deleted AND server.phase IN (?, ?)", bun.List(chunk), phaseLive, phaseWait).Scan(ctx)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			continue
		}
		known := make([]string, len(rows))
		for i := range rows {
			known[i] = rows[i].ID
		}
		views, err := s.cfg.Ports.PortsOf(ctx, known...)
		if err != nil {
			return err
		}
		by := map[string][]network.PortView{}
		for _, v := range views {
			by[v.DeviceID] = append(by[v.DeviceID], v)
		}
		for i := range rows {
			if changed, _ := updatedNICs(rows[i].NICs, by[rows[i].ID]); changed == nil {
				continue
			}
			if err := s.refreshServer(ctx, rows[i].ID, by[rows[i].ID]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) refreshServer(ctx context.Context, id string, views []network.PortView) error {
	return ignoreGone(s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, err := loadServer(ctx, tx, id)
		if err != nil || row.Phase != phaseLive && row.Phase != phaseWait {
			return err
		}
		nics, gone := updatedNICs(row.NICs, views)
		if nics == nil {
			return nil
		}
		row.NICs = nics
		columns := []string{"nics"}
		if gone || row.Phase == phaseLive { // the card of a port that was deleted goes, too
			changed, err := s.tellGuest(ctx, tx, &row)
			if err != nil {
				return err
			}
			columns = append(columns, changed...)
		}
		if err := row.emit(ctx, tx, "update"); err != nil {
			return err
		}
		return row.save(ctx, tx, columns...)
	}))
}

// updatedNICs returns the cards with what is known of their ports now, nil if
// nothing has changed, and whether a card lost its port.
func updatedNICs(nics []NIC, views []network.PortView) (updated []NIC, gone bool) {
	updated = make([]NIC, len(nics))
	for i, n := range nics {
		updated[i] = n
		updated[i].Addresses = slices.Clone(n.Addresses)
	}
	if gone = describeNICs(updated, views); gone {
		for i := range updated {
			has := slices.ContainsFunc(views, func(v network.PortView) bool { return v.ID == updated[i].PortID })
			if updated[i].PortID != "" && !has && updated[i].State == "" {
				updated[i].State = nicDetaching
			}
		}
	}
	if reflect.DeepEqual(updated, nics) {
		return nil, false
	}
	return updated, gone
}
