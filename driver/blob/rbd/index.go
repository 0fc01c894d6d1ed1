//go:build ceph

package rbd

import (
	"encoding/json"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
)

// indexObject holds the list of objects: its keys are their IDs.
const indexObject = "nephos.images"

// page is how many entries are read at once.
const page = 256

// lookup returns an object's entry, or ErrNotFound.
func (d *Driver) lookup(id string) (entry, error) {
	// Of the keys that begin with the ID, it is the first itself.
	values, err := d.pool.IO.GetOmapValues(indexObject, "", id, 1)
	if err != nil && !ceph.Is(err, ceph.ENOENT) {
		return entry{}, ceph.Meaning(err)
	}
	value, ok := values[id]
	if !ok {
		return entry{}, nephos.NotFound("Object", id)
	}
	return parseEntry(id, value)
}

func (d *Driver) enter(id string, e entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return ceph.Meaning(d.pool.IO.SetOmap(indexObject, map[string][]byte{id: value}))
}

// page returns up to a page of entries after an ID, in the IDs' order.
func (d *Driver) page(after string) (map[string][]byte, error) {
	values, err := d.pool.IO.GetOmapValues(indexObject, after, "", page)
	if ceph.Is(err, ceph.ENOENT) {
		return nil, nil
	}
	return values, ceph.Meaning(err)
}
