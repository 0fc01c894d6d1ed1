package keystone_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/identity/keystone"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// server is the API over a real service on a fresh database.
type server struct {
	*apitest.Server
	api   *httpapi.API
	svc   *identity.Service
	clock *nephos.VirtualClock
}

// serve starts a server; a nil verifier means real tokens.
func serve(t testing.TB, v httpapi.Verifier) *server {
	t.Helper()
	c := nephos.NewVirtualClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	enforcer, err := policy.New(policy.Base(), identity.Rules())
	require.NoError(t, err)
	s := &server{clock: c}
	s.svc, err = identity.New(identity.Config{
		Store: storetest.Open(t, c, identity.Migrations()), Policy: enforcer, Clock: c, BcryptCost: 4,
	})
	require.NoError(t, err)
	t.Cleanup(s.svc.Close)
	s.Server = apitest.Serve(t, "identity", func(url string) http.Handler {
		s.api = keystone.New(keystone.Config{Service: s.svc, HTTP: httpapi.Config{Verifier: v, Clock: c, PublicURL: url}})
		return s.api
	})
	return s
}

var cast = apitest.People{
	"stranger": {UserID: "s"}, // an unscoped token
	"admin":    {UserID: "root", ProjectID: "p", Roles: []string{"admin"}},
	"member":   {UserID: "u", ProjectID: "p", Roles: []string{"member", "reader"}},
}

func TestEveryRouteStatesItsRules(t *testing.T) {
	apitest.RulesExist(t, serve(t, cast).api.Routes(), identity.Rules())
}
