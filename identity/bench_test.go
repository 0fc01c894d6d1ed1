package identity_test

import (
	"testing"

	"github.com/nephos-cloud/nephos/identity"
)

func BenchmarkVerify(b *testing.B) {
	f := sqlite(b)
	boot := f.bootstrap()
	token := f.mustLogin(boot.UserID, "secret", identity.Scope{ProjectID: boot.ProjectID})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyAfterChange looks a token up again, as every token is once
// after any change of an identity.
func BenchmarkVerifyAfterChange(b *testing.B) {
	f := sqlite(b)
	boot := f.bootstrap()
	token := f.mustLogin(boot.UserID, "secret", identity.Scope{ProjectID: boot.ProjectID})
	for b.Loop() {
		f.Forget()
		if _, err := f.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
