package rbd

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// imagePrefix begins the names of objects' images.
const imagePrefix = "image-"

// entry says which image an object is.
type entry struct {
	Image   string    `json:"image"`
	Size    int64     `json:"size"`
	Created time.Time `json:"created"`
}

func parseEntry(id string, value []byte) (entry, error) {
	var e entry
	err := json.Unmarshal(value, &e)
	if err == nil && (!strings.HasPrefix(e.Image, imagePrefix) || e.Size < 0) {
		err = fmt.Errorf("image %q of %d bytes", e.Image, e.Size)
	}
	if err != nil {
		return e, fmt.Errorf("the list's entry for object %s is damaged: %w", id, err)
	}
	return e, nil
}
