package nova

import (
	"errors"
	"net/http"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// serverPartRoutes are a server's metadata, tags, addresses and other parts.
func (a *api) serverPartRoutes() []httpapi.Route {
	const server = root + "/servers/{id}"
	md := func(name string) []string { return rules("server-metadata:" + name) }
	tag := func(name string) []string { return rules("os-server-tags:" + name) }
	return []httpapi.Route{
		{Pattern: "GET " + server + "/metadata", Rules: md("index"), Handler: a.listMetadata},
		{Pattern: "POST " + server + "/metadata", Rules: md("create"), Handler: a.setMetadata(true)},
		{Pattern: "PUT " + server + "/metadata", Rules: md("update_all"), Handler: a.setMetadata(false)},
		{Pattern: "GET " + server + "/metadata/{key}", Rules: md("show"), Handler: a.showMetadata},
		{Pattern: "PUT " + server + "/metadata/{key}", Rules: md("update"), Handler: a.putMetadata},
		{Pattern: "DELETE " + server + "/metadata/{key}", Rules: md("delete"), Handler: a.deleteMetadata},

		{Pattern: "GET " + server + "/tags", Min: "2.26", Rules: tag("index"), Handler: mapped(a.listTags)},
		{Pattern: "PUT " + server + "/tags", Min: "2.26", Rules: tag("update_all"), Handler: mapped(a.setTags)},
		{Pattern: "DELETE " + server + "/tags", Min: "2.26", Rules: tag("delete_all"), Handler: mapped(a.clearTags)},
		{Pattern: "GET " + server + "/tags/{tag}", Min: "2.26", Rules: tag("show"), Handler: mapped(a.showTag)},
		{Pattern: "PUT " + server + "/tags/{tag}", Min: "2.26", Rules: tag("update"), Handler: mapped(a.putTag)},
		{Pattern: "DELETE " + server + "/tags/{tag}", Min: "2.26", Rules: tag("delete"), Handler: mapped(a.deleteTag)},

		{Pattern: "GET " + server + "/ips", Rules: rules("ips:index"), Handler: a.listIPs},
		{Pattern: "GET " + server + "/ips/{label}", Rules: rules("ips:show"), Handler: a.showIPs},
		{Pattern: "GET " + server + "/os-security-groups", Rules: rules("os-security-groups:list"), Handler: a.listServerGroups},
		{Pattern: "GET " + server + "/topology", Min: "2.78", Rules: []string{"compute:server:topology:index", "compute:server:topology:host:index"}, Handler: a.showTopology},
		{Pattern: "GET " + server + "/migrations", Min: "2.23", Rules: rules("servers:migrations:index"), Handler: a.listServerMigrations},
		{Pattern: "GET " + server + "/migrations/{migration}", Min: "2.23", Rules: rules("servers:migrations:show"), Handler: a.showServerMigration},
		{Pattern: "DELETE " + server + "/migrations/{migration}", Min: "2.24", Rules: rules("servers:migrations:delete"), Handler: a.abortServerMigration},
		{Pattern: "POST " + server + "/migrations/{migration}/action", Min: "2.22", Rules: rules("servers:migrations:force_complete"), Handler: a.forceServerMigration},
	}
}

func (a *api) listMetadata(r *httpapi.Request) (*httpapi.Response, error) {
	m, err := a.Metadata.ServerMetadata(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"metadata": m}), nil
}

func (a *api) showMetadata(r *httpapi.Request) (*httpapi.Response, error) {
	m, err := a.Metadata.ServerMetadata(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	key := r.PathValue("key")
	v, ok := m[key]
	if !ok {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Metadata item was not found")
	}
	return httpapi.OK(map[string]any{"meta": map[string]string{key: v}}), nil
}

func (a *api) setMetadata(merge bool) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		if err := obey(r, metadataBody("metadata", false)); err != nil {
			return nil, err
		}
		in, _, err := member[map[string]string](r, "metadata")
		if err != nil {
			return nil, err
		}
		m, err := a.Metadata.SetServerMetadata(r.Context(), r.PathValue("id"), in, merge)
		if err != nil {
			return nil, err
		}
		return httpapi.OK(map[string]any{"metadata": m}), nil
	}
}

func (a *api) putMetadata(r *httpapi.Request) (*httpapi.Response, error) {
	if err := obey(r, metadataBody("meta", true)); err != nil {
		return nil, err
	}
	in, _, err := member[map[string]string](r, "meta")
	if err != nil {
		return nil, err
	}
	if _, ok := in[r.PathValue("key")]; !ok {
		return nil, invalid("Request body and URI mismatch").WithField("meta")
	}
	if _, err := a.Metadata.SetServerMetadata(r.Context(), r.PathValue("id"), in, true); err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"meta": in}), nil
}

func (a *api) deleteMetadata(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Metadata.DeleteServerMetadata(r.Context(), r.PathValue("id"), r.PathValue("key"))
}

// mapped words the absence of a server as the handlers of tags do, which look for
// its cell first.
func mapped(next httpapi.Handler) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		resp, err := next(r)
		var e *nephos.Error
		if id := clip(r.PathValue("id")); errors.As(err, &e) && e.Kind == nephos.ErrNotFound && e.Message == "Instance "+id+" could not be found." {
			err = nephos.Errorf(nephos.ErrNotFound, "Instance %s has no mapping to a cell.", id)
		}
		return resp, err
	}
}

func (a *api) listTags(r *httpapi.Request) (*httpapi.Response, error) {
	tags, err := a.Tags.ServerTags(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"tags": tags}), nil
}

func (a *api) setTags(r *httpapi.Request) (*httpapi.Response, error) {
	if err := obey(r, tagsBody()); err != nil {
		return nil, err
	}
	in, _, err := member[[]string](r, "tags")
	if err != nil {
		return nil, err
	}
	tags, err := a.Tags.SetServerTags(r.Context(), r.PathValue("id"), in)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"tags": tags}), nil
}

func (a *api) clearTags(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Tags.DeleteServerTag(r.Context(), r.PathValue("id"), "")
}

func (a *api) showTag(r *httpapi.Request) (*httpapi.Response, error) {
	tags, err := a.Tags.ServerTags(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	tag := r.PathValue("tag")
	for _, t := range tags {
		if t == tag {
			return nil, nil
		}
	}
	return nil, nephos.Errorf(nephos.ErrNotFound, "Server %s has no tag '%s'", r.PathValue("id"), clip(tag))
}

func (a *api) putTag(r *httpapi.Request) (*httpapi.Response, error) {
	tag := r.PathValue("tag")
	if err := noBody(r); err != nil {
		return nil, err
	}
	form := tagText()
	if f := dialect.Check(&form, clip(tag)); f != nil {
		return nil, invalid("Tag '%s' is invalid. It must be a non empty string without characters '/' and ','. Validation error message: %s",
			clip(tag), f.Message).WithField("tag")
	}
	id := r.PathValue("id")
	added, err := a.Tags.AddServerTag(r.Context(), id, tag)
	if err != nil || !added {
		return nil, err
	}
	return httpapi.Status(http.StatusCreated, nil).Set("Location", r.Link("/v2.1/servers/"+id+"/tags/"+tag, nil)).
		Set("Content-Type", "text/html; charset=UTF-8"), nil
}

func (a *api) deleteTag(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Tags.DeleteServerTag(r.Context(), r.PathValue("id"), r.PathValue("tag"))
}

// plainAddresses are a server's addresses without what a server's own document
// says of each besides.
func (a *api) plainAddresses(r *httpapi.Request) (map[string][]address, error) {
	s, err := a.Servers.Server(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := addresses(&s)
	for _, list := range out {
		for i := range list {
			list[i].Type, list[i].MAC = "", ""
		}
	}
	return out, nil
}

func (a *api) listIPs(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.plainAddresses(r)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"addresses": all}), nil
}

func (a *api) showIPs(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.plainAddresses(r)
	if err != nil {
		return nil, err
	}
	label := r.PathValue("label")
	list, ok := all[label]
	if !ok {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Instance is not a member of specified network")
	}
	return httpapi.OK(map[string][]address{label: list}), nil
}
