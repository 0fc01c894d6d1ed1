package glance

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

func (a *api) imageRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v2/images", Rules: []string{"add_image", "publicize_image", "communitize_image"}, Handler: a.createImage},
		{Pattern: "GET /v2/images", Rules: []string{"get_images", "get_image"}, Handler: a.listImages},
		{Pattern: "GET /v2/images/{id}", Rules: []string{"get_image"}, Wait: waitForImage, Handler: a.showImage},
		{Pattern: "PATCH /v2/images/{id}", Rules: []string{"modify_image", "publicize_image", "communitize_image", "set_image_location", "delete_image_location"}, Handler: a.updateImage},
		{Pattern: "DELETE /v2/images/{id}", Rules: []string{"delete_image"}, Handler: a.deleteImage},
		{Pattern: "GET /v2/images/{id}/tasks", Rules: []string{"get_image"}, Handler: a.listTasks},
	}
}

const (
	reservedPrefix = "os_glance_"
	wireTime       = "2006-01-02T15:04:05Z"
)

var (
	// disallowed are the attributes that a create refuses before all else.
	disallowed = []string{"direct_url", "self", "file", "schema", "stores"}
	readOnly   = []string{"created_at", "updated_at", "status", "checksum", "size", "virtual_size", "os_hash_algo", "os_hash_value"}
	reserved   = []string{"location", "locations", "deleted", "deleted_at"}
)

// imageBody is an image on the wire: its properties stand beside its attributes.
func (a *api) imageBody(img image.Image) map[string]any {
	b := make(map[string]any, len(img.Properties)+24)
	for k, v := range img.Properties {
		if b[k] = v; nullable(k) {
			b[k] = textOrNull(v)
		}
	}
	self := "/v2/images/" + img.ID
	b["id"], b["self"], b["file"], b["schema"] = img.ID, self, self+"/file", "/v2/schemas/image"
	b["name"], b["status"], b["visibility"] = img.Name, img.Status, img.Visibility
	b["owner"] = textOrNull(img.Owner)
	b["disk_format"], b["container_format"] = textOrNull(img.DiskFormat), textOrNull(img.ContainerFormat)
	b["min_disk"], b["min_ram"] = img.MinDisk, img.MinRAM
	b["protected"], b["os_hidden"] = img.Protected, img.Hidden
	b["size"], b["virtual_size"] = img.Size, img.VirtualSize
	b["checksum"], b["os_hash_algo"], b["os_hash_value"] = textOrNull(img.Checksum), textOrNull(img.HashAlgo), textOrNull(img.HashValue)
	b["tags"] = img.Tags
	if img.Tags == nil {
		b["tags"] = []string{}
	}
	b["created_at"], b["updated_at"] = wire(img.CreatedAt), wire(img.UpdatedAt)
	if a.manyStores() {
		if store := a.Stores.StoreOf(img); store != "" {
			b["stores"] = store
		}
	}
	return b
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func wire(t time.Time) string { return t.UTC().Format(wireTime) }

func (a *api) createImage(r *httpapi.Request) (*httpapi.Response, error) {
	v, err := body(r)
	if err != nil {
		return nil, err
	}
	attrs, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("Provided object does not match schema 'image': %s is not of type 'object'", repr(v))
	}
	spec, err := specOf(attrs)
	if err != nil {
		return nil, err
	}
	img, err := a.Images.CreateImage(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	resp := httpapi.Created(a.imageBody(img)).Set("Location", r.Link("/v2/images/"+img.ID, nil))
	if methods := a.importMethods(); len(methods) > 0 {
		resp.Set("OpenStack-image-import-methods", strings.Join(methods, ","))
	}
	if a.manyStores() {
		resp.Set("OpenStack-image-store-ids", strings.Join(a.Stores.StoreNames(), ","))
	}
	return resp, nil
}

// titled writes the first of each run of letters in upper case.
func titled(s string) string {
	var before rune
	return strings.Map(func(c rune) rune {
		was := before
		before = c
		if unicode.IsLetter(was) {
			return unicode.ToLower(c)
		}
		return unicode.ToUpper(c)
	}, s)
}

// specOf reads what a create asks for.
func specOf(attrs map[string]any) (image.Spec, error) {
	for _, k := range disallowed {
		if _, ok := attrs[k]; ok {
			return image.Spec{}, forbidden("Attribute '%s' is read-only.", k).WithField(k)
		}
	}
	if err := validate(attrs); err != nil {
		return image.Spec{}, err
	}
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		if text, _ := attrs[k].(string); strings.ContainsFunc(text, func(c rune) bool { return c > 0xffff }) {
			return image.Spec{}, invalid("%s can't contain 4 byte unicode characters.", titled(clip(k))).WithField(clip(k)).WithReason("")
		}
	}
	spec := image.Spec{Properties: map[string]string{}}
	for k, v := range attrs {
		v = native(v)
		text, _ := v.(string)
		switch k {
		case "id":
			spec.ID = text
		case "name":
			if v != nil {
				spec.Name = &text
			}
		case "visibility":
			spec.Visibility = text
		case "owner":
			spec.Owner = &text
		case "disk_format":
			spec.DiskFormat = text
		case "container_format":
			spec.ContainerFormat = text
		case "min_disk":
			spec.MinDisk, _ = v.(int64)
		case "min_ram":
			spec.MinRAM, _ = v.(int64)
		case "protected":
			spec.Protected, _ = v.(bool)
		case "os_hidden":
			spec.Hidden, _ = v.(bool)
		case "tags":
			spec.Tags, _ = v.([]string)
		default:
			switch {
			case slices.Contains(readOnly, k):
				return image.Spec{}, forbidden("Attribute '%s' is read-only.", k).WithField(k)
			case slices.Contains(reserved, k), strings.HasPrefix(k, reservedPrefix):
				return image.Spec{}, forbidden("Attribute '%s' is reserved.", clip(k)).WithField(clip(k))
			}
			spec.Properties[k] = text
		}
	}
	return spec, nil
}

func (a *api) showImage(r *httpapi.Request) (*httpapi.Response, error) {
	img, err := a.Images.Image(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(a.imageBody(img)), nil
}

type imagesBody struct {
	Images []map[string]any `json:"images"`
	First  string           `json:"first"`
	Next   string           `json:"next,omitempty"`
	Schema string           `json:"schema"`
}

func (a *api) listImages(r *httpapi.Request) (*httpapi.Response, error) {
	f, err := filterOf(r)
	if err != nil {
		return nil, err
	}
	p, err := r.Page(httpapi.PageOptions{
		Style: httpapi.Glance, MaxLimit: 1000, DefaultLimit: 25, SortKeys: image.SortKeys(),
		DefaultSort: []nephos.SortKey{{Key: "created_at", Desc: true}},
	})
	if err != nil {
		return nil, err
	}
	none := r.NoItems()
	if none {
		p.Limit = 1 // who may not list is still told so
	}
	imgs, more, err := a.Images.ListImages(r.Context(), f, p)
	if err != nil {
		return nil, err
	}
	if none {
		imgs, more = nil, false
	}
	b := imagesBody{Images: make([]map[string]any, len(imgs)), First: httpapi.FirstPath(r), Schema: "/v2/schemas/images"}
	for i, img := range imgs {
		b.Images[i] = a.imageBody(img)
	}
	// As in Glance, a full page has a next one, even if that is empty.
	if n := len(imgs); n > 0 && (more || n == p.Limit) {
		b.Next = httpapi.NextPath(r, p, imgs[n-1].ID)
	}
	return httpapi.OK(b), nil
}

func (a *api) updateImage(r *httpapi.Request) (*httpapi.Response, error) {
	changes, err := changesOf(r)
	if err != nil {
		return nil, err
	}
	img, err := a.Images.UpdateImage(r.Context(), r.PathValue("id"), changes)
	if err != nil {
		var e *nephos.Error
		if errors.As(err, &e) && e.Reason == image.ChangeRefused {
			err = httpapi.WithDetail(err)
		}
		return nil, err
	}
	return httpapi.OK(a.imageBody(img)), nil
}

func (a *api) deleteImage(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("id")
	if err := a.Images.DeleteImage(r.Context(), id); err != nil {
		return nil, says(err, image.NoImage, "Failed to find image "+clip(id)+" to delete")
	}
	return httpapi.NoContent(), nil
}

// listTasks lists the tasks that work on an image: there never are any, because
// there are no imports.
func (a *api) listTasks(r *httpapi.Request) (*httpapi.Response, error) {
	if _, err := a.Images.Image(r.Context(), r.PathValue("id")); err != nil {
		return nil, err
	}
	return httpapi.OK(map[string][]string{"tasks": {}}), nil
}
