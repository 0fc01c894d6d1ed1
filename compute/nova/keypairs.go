package nova

import (
	"net/http"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) keyPairRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET " + root + "/os-keypairs", Rules: rules("os-keypairs:index"), Handler: a.listKeyPairs},
		{Pattern: "POST " + root + "/os-keypairs", Rules: rules("os-keypairs:create"), Handler: a.createKeyPair},
		{Pattern: "GET " + root + "/os-keypairs/{name}", Rules: rules("os-keypairs:show"), Handler: a.showKeyPair},
		{Pattern: "DELETE " + root + "/os-keypairs/{name}", Rules: rules("os-keypairs:delete"), Handler: a.deleteKeyPair},
	}
}

// keyPairBody is a keypair; which fields it has differs from answer to answer.
type keyPairBody struct {
	Name        string `json:"name"`
	PublicKey   string `json:"public_key"`
	Fingerprint string `json:"fingerprint"`
	Type        string `json:"type,omitempty"`
	UserID      string `json:"user_id,omitempty"`
	PrivateKey  string `json:"private_key,omitempty"`
	*keyPairDetail
}

type keyPairDetail struct {
	ID        int64             `json:"id"`
	CreatedAt string            `json:"created_at"`
	UpdatedAt *nullable[string] `json:"updated_at"`
	DeletedAt *nullable[string] `json:"deleted_at"`
	Deleted   bool              `json:"deleted"`
}

func keyPairView(r *httpapi.Request, k compute.KeyPair) keyPairBody {
	b := keyPairBody{Name: k.Name, PublicKey: k.PublicKey, Fingerprint: k.Fingerprint}
	if atLeast(r, 2) {
		b.Type = k.Type
	}
	return b
}

// keyPairUser is the user that an operator acts for, since 2.10.
func keyPairUser(r *httpapi.Request) string {
	if !atLeast(r, 10) {
		return ""
	}
	user, _ := r.Param("user_id")
	return user
}

func (a *api) listKeyPairs(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 75, "user_id", "limit", "marker"); err != nil {
		return nil, err
	}
	var p nephos.Page
	if atLeast(r, 35) {
		var err error
		if p, err = r.Page(httpapi.PageOptions{Style: httpapi.Nova}); err != nil {
			return nil, err
		}
	}
	var pairs []compute.KeyPair
	if !atLeast(r, 35) || !r.NoItems() {
		var err error
		if pairs, _, err = a.Catalog.ListKeyPairs(r.Context(), keyPairUser(r), p); err != nil {
			return nil, err
		}
	}
	list := make([]map[string]keyPairBody, len(pairs))
	for i, k := range pairs {
		list[i] = map[string]keyPairBody{"keypair": keyPairView(r, k)}
	}
	body := map[string]any{"keypairs": list}
	if n := len(pairs); atLeast(r, 35) && n > 0 {
		if links := httpapi.PageLinks(r, httpapi.Nova, p, n, pairs[0].Name, pairs[n-1].Name); links != nil {
			body["keypairs_links"] = links
		}
	}
	return httpapi.OK(body), nil
}

const alphanumerics = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func keyPairSchema(r *httpapi.Request) *schema.Schema {
	safe := "_- " + alphanumerics
	if atLeast(r, 92) {
		safe = "@._- " + alphanumerics
	}
	s := schema.Schema{Types: []string{"object"}, Required: []string{"name"}, Props: []schema.Prop{
		prop("name", schema.Schema{Types: []string{"string"}, MinLength: 1, MaxLength: 255, Format: isKeyName(safe)}),
	}}
	if atLeast(r, 2) {
		s.Props = append(s.Props, prop("type", oneOfNames("ssh", "x509")))
	}
	s.Props = append(s.Props, prop("public_key", text(0, 0)))
	if atLeast(r, 10) {
		s.Props = append(s.Props, prop("user_id", text(0, 0)))
	}
	if atLeast(r, 92) { // keys are no longer generated
		s.Required = []string{"name", "public_key"}
	}
	return only("keypair", s)
}

func (a *api) createKeyPair(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, keyPairSchema(r))
	if err != nil {
		return nil, err
	}
	o := body.at("keypair")
	if o.has("public_key") && o.str("public_key") == "" {
		return nil, invalid("Keypair data is invalid: failed to generate fingerprint").WithField("public_key")
	}
	k, err := a.Catalog.CreateKeyPair(r.Context(), compute.KeyPairSpec{
		UserID: o.str("user_id"), Name: o.str("name"), Type: o.str("type"), PublicKey: o.str("public_key"),
	})
	if err != nil {
		return nil, err
	}
	b := keyPairView(r, k)
	b.UserID, b.PrivateKey = k.UserID, k.PrivateKey
	status := http.StatusCreated
	if !atLeast(r, 2) {
		status = http.StatusOK
	}
	return httpapi.Status(status, map[string]any{"keypair": b}), nil
}

func (a *api) showKeyPair(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 75, "user_id"); err != nil {
		return nil, err
	}
	k, err := a.Catalog.KeyPair(r.Context(), keyPairUser(r), r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	b := keyPairView(r, k)
	b.UserID = k.UserID
	b.keyPairDetail = &keyPairDetail{
		ID: k.Number, CreatedAt: dateTime(k.CreatedAt), UpdatedAt: new(nullable[string]), DeletedAt: new(nullable[string]),
	}
	return httpapi.OK(map[string]any{"keypair": b}), nil
}

func (a *api) deleteKeyPair(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 75, "user_id"); err != nil {
		return nil, err
	}
	status := http.StatusNoContent
	if !atLeast(r, 2) {
		status = http.StatusAccepted
	}
	return emptyAnswer(status), a.Catalog.DeleteKeyPair(r.Context(), keyPairUser(r), r.PathValue("name"))
}
