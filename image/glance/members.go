package glance

import (
	"errors"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

func (a *api) memberRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v2/images/{id}/members", Rules: []string{"add_member"}, Handler: a.addMember},
		{Pattern: "GET /v2/images/{id}/members", Rules: []string{"get_members"}, Handler: a.listMembers},
		{Pattern: "GET /v2/images/{id}/members/{member_id}", Rules: []string{"get_member"}, Handler: a.showMember},
		{Pattern: "PUT /v2/images/{id}/members/{member_id}", Rules: []string{"modify_member"}, Handler: a.updateMember},
		{Pattern: "DELETE /v2/images/{id}/members/{member_id}", Rules: []string{"delete_member"}, Handler: a.removeMember},
	}
}

type member struct {
	MemberID  string `json:"member_id"`
	ImageID   string `json:"image_id"`
	Status    string `json:"status"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
	Schema    string `json:"schema"`
}

func memberBody(m image.Member) member {
	return member{
		MemberID: m.MemberID, ImageID: m.ImageID, Status: m.Status,
		CreatedAt: wire(m.CreatedAt), UpdatedAt: wire(m.UpdatedAt), Schema: "/v2/schemas/member",
	}
}

// memberError says in the words of the members' API that there is no such image,
// or that it has no members.
func memberError(err error, id, verb string) error {
	err = says(err, image.NoImage, "Image "+clip(id)+" not found.")
	return refused(err, "Not allowed to "+verb+" members for image "+clip(id)+".")
}

// refused replaces the sentence of an ErrForbidden.
func refused(err error, message string) error {
	var e *nephos.Error
	if errors.As(err, &e) && errors.Is(e.Kind, nephos.ErrForbidden) {
		return &nephos.Error{Kind: e.Kind, Message: message, Reason: e.Reason, Cause: err}
	}
	return err
}

func (a *api) addMember(r *httpapi.Request) (*httpapi.Response, error) {
	v, err := body(r)
	if err != nil {
		return nil, err
	}
	b, ok := v.(map[string]any)
	if !ok {
		return nil, invalid(`Expected a member in the form: {"member": "image_id"}`)
	}
	id, given := b["member"]
	text, ok := id.(string)
	switch {
	case !given:
		return nil, invalid("Member to be added not specified").WithField("member")
	case isEmpty(id):
		return nil, invalid("Member can't be empty").WithField("member")
	case !ok:
		return nil, invalid(`Expected a member in the form: {"member": "image_id"}`).WithField("member")
	}
	m, err := a.Members.AddMember(r.Context(), r.PathValue("id"), text)
	if err != nil {
		return nil, memberError(err, r.PathValue("id"), "create")
	}
	return httpapi.OK(memberBody(m)), nil
}

// isEmpty reports whether Python takes a JSON value for false.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

type membersBody struct {
	Members []member `json:"members"`
	Schema  string   `json:"schema"`
}

func (a *api) listMembers(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("id")
	list, err := a.Members.ListMembers(r.Context(), id)
	if err != nil {
		err = says(err, image.NoImage, "Image "+clip(id)+" not found.")
		return nil, says(err, image.NotShared, "Not allowed to list members for image "+clip(id)+": Only shared images have members.")
	}
	b := membersBody{Members: make([]member, len(list)), Schema: "/v2/schemas/members"}
	for i, m := range list {
		b.Members[i] = memberBody(m)
	}
	return httpapi.OK(b), nil
}

func (a *api) showMember(r *httpapi.Request) (*httpapi.Response, error) {
	m, err := a.Members.Member(r.Context(), r.PathValue("id"), r.PathValue("member_id"))
	if err != nil {
		err = says(err, image.NoImage, "Image "+clip(r.PathValue("id"))+" not found.")
		var e *nephos.Error
		if errors.As(err, &e) && errors.Is(e.Kind, nephos.ErrForbidden) {
			// Nothing is to be learnt about members by asking.
			err = &nephos.Error{Kind: nephos.ErrNotFound, Message: e.Message, Cause: err}
		}
		return nil, err
	}
	return httpapi.OK(memberBody(m)), nil
}

func (a *api) updateMember(r *httpapi.Request) (*httpapi.Response, error) {
	v, err := body(r)
	if err != nil {
		return nil, err
	}
	b, ok := v.(map[string]any)
	if !ok {
		return nil, invalid(`Expected a status in the form: {"status": "status"}`)
	}
	v, given := b["status"]
	if !given {
		return nil, invalid("Status not specified").WithField("status")
	}
	status, _ := v.(string)
	m, err := a.Members.UpdateMember(r.Context(), r.PathValue("id"), r.PathValue("member_id"), status)
	if err != nil {
		return nil, memberError(err, r.PathValue("id"), "update")
	}
	return httpapi.OK(memberBody(m)), nil
}

func (a *api) removeMember(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Members.RemoveMember(r.Context(), r.PathValue("id"), r.PathValue("member_id")); err != nil {
		return nil, memberError(err, r.PathValue("id"), "delete")
	}
	return httpapi.NoContent(), nil
}
