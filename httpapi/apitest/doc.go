// Package apitest is what the tests of a wire package need around their API: a
// [Server] that serves it, [People] whose names are tokens, requests in one
// line, and checks of what came back.
//
//	s := apitest.Serve(t, "volume", func(url string) http.Handler {
//		return cinder.New(cinder.Config{Service: svc, HTTP: httpapi.Config{Verifier: people, PublicURL: url}})
//	})
//	id := s.Do("member", "POST 3.67", "/v3/volumes", body).Want(202).Text("volume", "id")
//	s.Do("stranger", "GET", "/v3/volumes/"+id, "").Fault(404, "Volume "+id+" could not be found.")
//
// What many requests are answered stands in a file: [Server.Answers].
//
// It knows where each of OpenStack's services says what went wrong, apart from
// the code that writes it. Every wire package has a test that calls
// [RulesExist] with its routes.
package apitest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
)

// People are callers by their tokens; it is a verifier of them.
type People map[string]nephos.Caller

// Verify implements [httpapi.Verifier]: tokens of nobody are
// nephos.ErrUnauthenticated.
func (p People) Verify(_ context.Context, token string) (nephos.Caller, error) {
	c, ok := p[token]
	if !ok {
		return c, nephos.Errorf(nephos.ErrUnauthenticated, "nobody has the token %s", token)
	}
	return c, nil
}

// RulesExist checks that there are routes, that each of those that need a token
// names policy rules ([httpapi.CheckRoutes]), and that all rules named are among
// the given ones; "@", which stands for whoever has a token, always is.
func RulesExist(t testing.TB, routes []httpapi.Route, rules []policy.Rule) {
	t.Helper()
	require.NotEmpty(t, routes)
	require.NoError(t, httpapi.CheckRoutes(routes))
	known := map[string]bool{"@": true}
	for _, r := range rules {
		known[r.Name] = true
	}
	for _, route := range routes {
		for _, name := range route.Rules {
			require.True(t, known[name], "%s names %s, which is no rule", route.Pattern, name)
		}
	}
}
