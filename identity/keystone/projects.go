package keystone

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var (
	pShortName = schema.Schema{Types: typeString, MinLength: 1, MaxLength: 64, Pattern: pName.Pattern}
	pTag       = schema.Schema{Types: typeString, MinLength: 1, MaxLength: 255, Pattern: schema.Match(`^[^,/]*$`)}
	pTags      = schema.Schema{Types: []string{"array"}, Items: &pTag, MaxItems: 80, Unique: true}

	projectSchema = open(map[string]schema.Schema{
		"name": pShortName, "description": pNullText, "domain_id": pNullID, "enabled": pBool, "is_domain": pBool,
		"parent_id": pNullID, "tags": pTags, "options": pImmutable,
	}, "name")
	projectUpdateSchema = changed(projectSchema)
)

var projectFields = []string{"name", "description", "domain_id", "enabled", "is_domain", "parent_id", "tags", "options"}

func (a *api) projectRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/projects", Rules: rules("create_project"), Handler: a.createProject},
		{Pattern: "GET /v3/projects", Rules: rules("list_projects"), Handler: a.listProjects},
		{Pattern: "GET /v3/projects/{id}", Rules: rules("get_project"), Handler: a.showProject},
		{Pattern: "PATCH /v3/projects/{id}", Rules: rules("update_project"), Handler: a.updateProject},
		{Pattern: "DELETE /v3/projects/{id}", Rules: rules("delete_project"), Handler: a.deleteProject},
		{Pattern: "GET /v3/users/{id}/projects", Rules: rules("list_user_projects"), Handler: a.listUserProjects},

		{Pattern: "GET /v3/projects/{id}/tags", Rules: rules("list_project_tags"), Handler: a.listTags},
		{Pattern: "PUT /v3/projects/{id}/tags", Rules: rules("update_project_tags"), Handler: a.setTags},
		{Pattern: "DELETE /v3/projects/{id}/tags", Rules: rules("delete_project_tags"), Handler: a.clearTags},
		{Pattern: "GET /v3/projects/{id}/tags/{tag}", Rules: rules("get_project_tag"), Handler: a.checkTag},
		{Pattern: "PUT /v3/projects/{id}/tags/{tag}", Rules: rules("create_project_tag"), Handler: a.addTag},
		{Pattern: "DELETE /v3/projects/{id}/tags/{tag}", Rules: rules("delete_project_tag"), Handler: a.removeTag},
	}
}

func projectBody(r *httpapi.Request, p identity.Project) map[string]any {
	return render(map[string]any{
		"id": p.ID, "name": p.Name, "domain_id": orNull(p.DomainID), "parent_id": orNull(p.ParentID), "is_domain": p.IsDomain,
		"enabled": p.Enabled, "description": p.Description, "options": p.Options, "tags": p.Tags, "links": self{link(r, "projects", p.ID)},
	}, p.Extra)
}

func projectList(r *httpapi.Request, projects []identity.Project, more bool) *httpapi.Response {
	bodies := mapped(projects, func(p identity.Project) map[string]any { return projectBody(r, p) })
	return collection(r, "projects", bodies, more, lastID(projects, func(p identity.Project) string { return p.ID }))
}

func (o object) texts(name string) []string {
	list, _ := o[name].([]any)
	texts := make([]string, 0, len(list))
	for _, v := range list {
		if s, ok := v.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}

func (a *api) createProject(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "project", projectSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_project", "")
	}
	p, err := a.Projects.CreateProject(r.Context(), identity.ProjectSpec{
		Name: o.text("name"), DomainID: o.text("domain_id"), ParentID: o.text("parent_id"), IsDomain: o.flagOr("is_domain", false),
		Enabled: o.flag("enabled"), Description: o.nullText("description"), NoDescription: o.isNull("description"), Options: o.object("options"), Tags: o.texts("tags"),
		Extra: o.rest(projectFields...),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.Created(map[string]any{"project": projectBody(r, p)}), nil
}

func projectFilter(q url.Values) identity.ProjectFilter {
	f := identity.ProjectFilter{
		Name: matches(q, "name"), DomainID: q.Get("domain_id"), ParentID: q.Get("parent_id"), Enabled: flagFilter(q, "enabled"),
		Tags: tagList(q, "tags"), TagsAny: tagList(q, "tags-any"), NotTags: tagList(q, "not-tags"), NotTagsAny: tagList(q, "not-tags-any"),
	}
	if b := flagFilter(q, "is_domain"); b != nil {
		f.IsDomain = *b
	}
	return f
}

func tagList(q url.Values, name string) []string {
	if q.Get(name) == "" {
		return nil
	}
	return strings.Split(q.Get(name), ",")
}

func (a *api) listProjects(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	projects, more, err := a.Projects.ListProjects(r.Context(), projectFilter(r.URL.Query()), p)
	if err != nil {
		return nil, err
	}
	return projectList(r, projects, more), nil
}

func (a *api) listUserProjects(r *httpapi.Request) (*httpapi.Response, error) {
	q := r.URL.Query()
	projects, err := a.Projects.ListUserProjects(r.Context(), r.PathValue("id"), identity.ProjectFilter{
		Name: matches(q, "name"), DomainID: q.Get("domain_id"), Enabled: flagFilter(q, "enabled"),
	})
	if err != nil {
		return nil, err
	}
	return projectList(r, projects, false), nil
}

func (a *api) showProject(r *httpapi.Request) (*httpapi.Response, error) {
	id, q := r.PathValue("id"), r.URL.Query()
	p, err := a.Projects.Project(r.Context(), id)
	if err != nil {
		return nil, err
	}
	body := projectBody(r, p)
	if err := a.addTree(r, body, p, q); err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"project": body}), nil
}

// addTree adds the projects above and below, as the query asks: as a list those
// on which the caller has a role, as ids all of them.
func (a *api) addTree(r *httpapi.Request, body map[string]any, p identity.Project, q url.Values) error {
	parentsList, parentsIDs := flagSet(q, "parents_as_list"), flagSet(q, "parents_as_ids")
	subtreeList, subtreeIDs := flagSet(q, "subtree_as_list"), flagSet(q, "subtree_as_ids")
	switch {
	case parentsList && parentsIDs:
		return nephos.Errorf(nephos.ErrInvalid, "Cannot use parents_as_list and parents_as_ids query params at the same time.")
	case subtreeList && subtreeIDs:
		return nephos.Errorf(nephos.ErrInvalid, "Cannot use subtree_as_list and subtree_as_ids query params at the same time.")
	}
	wrap := func(projects []identity.Project) []map[string]any {
		return mapped(projects, func(p identity.Project) map[string]any { return map[string]any{"project": projectBody(r, p)} })
	}
	if parentsList || subtreeList {
		parents, subtree, err := a.Projects.ProjectTree(r.Context(), p.ID, false)
		if err != nil {
			return err
		}
		if parentsList {
			body["parents"] = wrap(parents)
		}
		if subtreeList {
			body["subtree"] = wrap(subtree)
		}
	}
	if parentsIDs || subtreeIDs {
		parents, subtree, err := a.Projects.ProjectTree(r.Context(), p.ID, true)
		if err != nil {
			return err
		}
		if parentsIDs {
			var above any
			for i := len(parents) - 1; i >= 0; i-- {
				above = map[string]any{parents[i].ID: above}
			}
			body["parents"] = above
		}
		if subtreeIDs {
			children := map[string][]string{}
			for _, s := range subtree {
				children[s.ParentID] = append(children[s.ParentID], s.ID)
			}
			body["subtree"] = idTree(children, p.ID)
		}
	}
	return nil
}

func idTree(children map[string][]string, id string) any {
	if len(children[id]) == 0 {
		return nil
	}
	below := map[string]any{}
	for _, c := range children[id] {
		below[c] = idTree(children, c)
	}
	return below
}

func (a *api) updateProject(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "project", projectUpdateSchema)
	if err != nil {
		return nil, a.refuse(r, err, "update_project", r.PathValue("id"))
	}
	id := r.PathValue("id")
	if err := o.checkID(id); err != nil {
		return nil, err
	}
	u := identity.ProjectUpdate{
		Name: o.textPtr("name"), DomainID: o.textPtr("domain_id"), ParentID: o.textPtr("parent_id"), IsDomain: o.flag("is_domain"),
		Enabled: o.flag("enabled"), Description: o.nullText("description"), NoDescription: o.isNull("description"), Options: o.object("options"), Extra: o.rest(projectFields...),
	}
	if _, ok := o["tags"]; ok {
		tags := o.texts("tags")
		u.Tags = &tags
	}
	p, err := a.Projects.UpdateProject(r.Context(), id, u)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"project": withExtra(projectBody(r, p), p.Extra)}), nil
}

func (a *api) deleteProject(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Projects.DeleteProject(r.Context(), r.PathValue("id"))
}

func tagsBody(r *httpapi.Request, tags []string) map[string]any {
	if tags == nil {
		tags = []string{}
	}
	return map[string]any{"tags": tags, "links": self{r.Link(r.SelfPath(), nil)}}
}

func (a *api) listTags(r *httpapi.Request) (*httpapi.Response, error) {
	tags, err := a.ProjectTags.ProjectTags(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(tagsBody(r, tags)), nil
}

func (a *api) setTags(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r)
	if err != nil {
		return nil, a.refuse(r, err, "update_project_tags", r.PathValue("id"))
	}
	wanted, given := o["tags"]
	if !given {
		wanted = map[string]any{}
	}
	if err := check(&pTags, wanted); err != nil {
		return nil, a.refuse(r, err, "update_project_tags", r.PathValue("id"))
	}
	tags, err := a.ProjectTags.SetProjectTags(r.Context(), r.PathValue("id"), o.texts("tags"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(tagsBody(r, tags)), nil
}

func (a *api) clearTags(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.ProjectTags.ClearProjectTags(r.Context(), r.PathValue("id"))
}

func (a *api) checkTag(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.ProjectTags.HasProjectTag(r.Context(), r.PathValue("id"), r.PathValue("tag"))
}

func (a *api) addTag(r *httpapi.Request) (*httpapi.Response, error) {
	id, tag := r.PathValue("id"), r.PathValue("tag")
	if err := check(&pTag, tag); err != nil {
		return nil, err
	}
	if err := a.ProjectTags.AddProjectTag(r.Context(), id, tag); err != nil {
		return nil, err
	}
	return (&httpapi.Response{Status: http.StatusCreated}).Set("Location", link(r, "projects/"+url.PathEscape(id)+"/tags", tag)), nil
}

func (a *api) removeTag(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.ProjectTags.RemoveProjectTag(r.Context(), r.PathValue("id"), r.PathValue("tag"))
}
