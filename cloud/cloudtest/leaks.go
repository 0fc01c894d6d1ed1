package cloudtest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob"
)

// histories are tables whose rows tell what was, and tables whose rows belong to
// the cloud itself: they grow, and nothing leaks.
var histories = map[string]bool{
	"schema_migrations": true, "events": true, "event_cursors": true, "idempotency": true, "work": true,
	"compute_actions": true, "compute_hosts": true, "compute_host_numbers": true, "compute_quotas": true,
	"identity_revocations": true, "image_deleted": true, "image_secrets": true,
	"network_hosts": true, "network_free": true, "network_quotas": true, "blockstorage_quotas": true,
	"placement_explanations": true, "placement_hosts": true, "placement_inventories": true, "placement_provider_aggregates": true,
	"placement_provider_traits": true, "placement_providers": true, "placement_traits": true, "placement_classes": true,
}

// inventory is all that there is, by what it is called, with what belongs to it.
type inventory map[string]string

// Mark has [Cloud.NoLeaks] take all that there is now for set-up. New does so,
// and everything of this package that sets something up.
func (c *Cloud) Mark() {
	c.t.Helper()
	all := c.inventory(c.t)
	c.baseMu.Lock()
	defer c.baseMu.Unlock()
	c.base = all
}

// NoLeaks fails the test if anything is there that was not there at the last
// [Cloud.Mark]: servers, ports, volumes, addresses, claims on hosts and any other
// rows of the services, guests, ports and networks of the hosts, volumes and
// connections in the pool, images' bytes, files of the hosts' agents, and work
// that does not end. It settles the cloud first.
func (c *Cloud) NoLeaks(t testing.TB) {
	t.Helper()
	if c.virtual != nil && c.cancel == nil {
		c.Settle()
	}
	all := c.inventory(t)
	c.baseMu.Lock()
	defer c.baseMu.Unlock()
	var left []string
	for _, what := range slices.Sorted(maps.Keys(all)) {
		if _, was := c.base[what]; !was {
			left = append(left, strings.TrimSpace(what+" "+all[what]))
		}
	}
	for _, line := range c.pending() {
		left = append(left, "work "+line)
	}
	if len(left) > 0 {
		t.Fatalf("the cloud leaks:\n%s", strings.Join(left, "\n"))
	}
}

func (c *Cloud) inventory(t testing.TB) inventory {
	t.Helper()
	all := inventory{}
	c.addRows(t, all)
	for _, h := range c.Hosts {
		h.addAll(t, all)
	}
	for _, v := range c.Volumes.Volumes() {
		all["pool volume "+v.ID] = ""
		for _, s := range v.Snapshots {
			all["pool snapshot "+s] = "of volume " + v.ID
		}
		for a, to := range c.Volumes.Attachments(v.ID) {
			all["pool connection "+a] = "of volume " + v.ID + " to " + to.Host
		}
	}
	require.NoError(t, c.Blobs.List(context.Background(), func(o blob.Object) bool {
		all["blob "+o.ID] = fmt.Sprint(o.Size, " bytes")
		return true
	}))
	return all
}

// addAll adds what the host's drivers and agent have.
func (h *Host) addAll(t testing.TB, all inventory) {
	for _, g := range h.Hypervisor.Guests() {
		all["guest "+g.ID+" on "+h.Name] = g.Name
	}
	wires := h.cloud.Wires.Inventory(h.Name)
	for kind, ids := range map[string][]string{"port": wires.Ports, "network": wires.Networks, "router": wires.Routers, "security group": wires.SecurityGroups} {
		for _, id := range ids {
			all["plugged "+kind+" "+id+" on "+h.Name] = ""
		}
	}
	for _, folder := range []string{"servers", "snapshots"} {
		entries, err := os.ReadDir(filepath.Join(h.dir, folder))
		if !os.IsNotExist(err) {
			require.NoError(t, err)
		}
		for _, e := range entries {
			all["file "+filepath.Join(h.Name, folder, e.Name())] = ""
		}
	}
}

// addRows adds the rows of all tables that are no histories, and not marked as
// deleted.
func (c *Cloud) addRows(t testing.TB, all inventory) {
	var parts []string
	for _, table := range c.tables(t) {
		if histories[table.name] {
			continue
		}
		where := ""
		if table.deleted {
			where = "WHERE NOT deleted"
		}
		name := "''"
		if table.named {
			name = "name"
		}
		parts = append(parts, fmt.Sprintf("SELECT '%s ' || %s, coalesce(%s, '') FROM %s %s",
			table.name, strings.Join(table.key, " || ' ' || "), name, table.name, where))
	}
	// The names come from the database's own schema.
	rows, err := c.Store.Reader().QueryContext(context.Background(), strings.Join(parts, " UNION ALL "))
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var key, called string
		require.NoError(t, rows.Scan(&key, &called))
		all[key] = called
	}
	require.NoError(t, rows.Err())
}

type table struct {
	name           string
	key            []string
	states         []string // columns that tell how a row's resource is
	deleted, named bool
}

// tables reads the schema, once.
func (c *Cloud) tables(t testing.TB) []table {
	c.baseMu.Lock()
	defer c.baseMu.Unlock()
	if c.schema == nil {
		c.schema = c.readSchema(t)
	}
	return c.schema
}

func (c *Cloud) readSchema(t testing.TB) (found []table) {
	query := "SELECT m.name, p.name, p.pk FROM sqlite_master AS m, pragma_table_info(m.name) AS p WHERE m.type = 'table' ORDER BY m.name, p.cid"
	if c.Store.Postgres() {
		query = `SELECT c.table_name, c.column_name, (SELECT count(*) FROM information_schema.key_column_usage k JOIN information_schema.table_constraints n
			ON n.constraint_name = k.constraint_name AND n.table_schema = k.table_schema AND n.constraint_type = 'PRIMARY KEY'
			WHERE k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = c.column_name)
			FROM information_schema.columns c WHERE c.table_schema = current_schema() ORDER BY c.table_name, c.ordinal_position`
	}
	rows, err := c.Store.Reader().QueryContext(context.Background(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var name, column string
		var pk int
		require.NoError(t, rows.Scan(&name, &column, &pk))
		if len(found) == 0 || found[len(found)-1].name != name {
			found = append(found, table{name: name})
		}
		one := &found[len(found)-1]
		if pk > 0 {
			one.key = append(one.key, fmt.Sprintf("CAST(%s AS TEXT)", column))
		}
		one.deleted = one.deleted || column == "deleted"
		one.named = one.named || column == "name"
		if slices.Contains([]string{"status", "phase", "vm_state", "task_state", "deleted", "state"}, column) {
			one.states = append(one.states, fmt.Sprintf("coalesce(CAST(%s AS TEXT), '')", column))
		}
	}
	require.NoError(t, rows.Err())
	for i := range found {
		if len(found[i].key) == 0 {
			found[i].key = []string{"'a row'"}
		}
	}
	return found
}
