package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity"
)

func TestOtherServicesCanAskWhichProjectsExist(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		_, err := f.CreateDomain(f.admin, identity.DomainSpec{Name: "d"})
		require.NoError(t, err)
		domains, _, err := f.ListDomains(f.admin, identity.DomainFilter{}, nephos.Page{})
		require.NoError(t, err)
		p, err := f.CreateProject(f.admin, identity.ProjectSpec{Name: "one", DomainID: domains[0].ID})
		require.NoError(t, err)
		for id, want := range map[string]bool{p.ID: true, "absent": false, "": false} {
			got, err := f.ProjectExists(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, want, got, id)
		}
	})
}
