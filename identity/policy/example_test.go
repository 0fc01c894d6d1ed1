package policy_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
)

func Example() {
	enforcer, err := policy.New(policy.Base(), []policy.Rule{{
		Name:       "os_compute_api:servers:delete",
		Check:      policy.RuleProjectMemberOrAdmin,
		Operations: []string{"DELETE /servers/{server_id}"},
	}})
	if err != nil {
		panic(err)
	}
	ctx := nephos.WithCaller(context.Background(), nephos.Caller{UserID: "alice", ProjectID: "blue", Roles: []string{"reader"}})
	server := policy.Target{"project_id": "blue"}

	fmt.Println(enforcer.Enforce(ctx, "os_compute_api:servers:delete", server))
	fmt.Print(enforcer.Explain(ctx, "os_compute_api:servers:delete", server))
	// Output:
	// Policy doesn't allow os_compute_api:servers:delete to be performed.
	// os_compute_api:servers:delete: denied
	//   rule:project_member_or_admin: no
	//     (rule:project_member or rule:context_is_admin): no
	//       rule:project_member: no
	//         rule:project_member_api: no
	//           (role:member and project_id:%(project_id)s): no
	//             role:member: no; the caller's roles are reader
	//       rule:context_is_admin: no
	//         role:admin: no; the caller's roles are reader
}

func BenchmarkEnforce(b *testing.B) {
	enforcer, err := policy.New(policy.Base(), []policy.Rule{{Name: "show", Check: policy.RuleProjectReaderOrAdmin}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := nephos.WithCaller(context.Background(), nephos.Caller{UserID: "u", ProjectID: "p", Roles: []string{"member", "reader"}})
	target := policy.Target{"project_id": "p"}
	b.ReportAllocs()
	for b.Loop() {
		if err := enforcer.Enforce(ctx, "show", target); err != nil {
			b.Fatal(err)
		}
	}
}
