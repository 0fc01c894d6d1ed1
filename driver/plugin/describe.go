package plugin

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
)

// learn takes what the plugin said of itself.
func (i *instance) learn(k *kind, r *driverv1.DescribeResponse) error {
	if got := r.GetKind(); got != k.name {
		return nephos.Errorf(nephos.ErrInvalid, "it is a %.40q driver, and a %s driver is wanted: use it where %[1]q drivers are configured", got, k.name)
	}
	if len(r.GetAbilities()) > maxAbilities || len(r.GetName()) > maxName || len(r.GetVersion()) > maxName {
		return nephos.Errorf(nephos.ErrInvalid, "its description is too long: at most %d abilities, and %d bytes each of name and version", maxAbilities, maxName)
	}
	for _, text := range []string{r.GetName(), r.GetVersion()} {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return nephos.Errorf(nephos.ErrInvalid, "its name or version, %.80q, has characters that cannot be shown", text)
		}
	}
	for _, a := range r.GetAbilities() {
		if !isName(a) {
			return nephos.Errorf(nephos.ErrInvalid, "it claims the ability %.80q, which is no name", a)
		}
	}
	i.extra = r
	i.about = Description{Contract: ContractVersion, Kind: k.name, Name: r.GetName(), Version: r.GetVersion()}
	i.about.Abilities = k.known(r)
	for _, a := range r.GetAbilities() {
		if !slices.Contains(i.about.Abilities, a) {
			i.about.Unknown = append(i.about.Unknown, a)
		}
	}
	return nil
}

const (
	maxAbilities = 200
	maxName      = 200
)

func isName(s string) bool {
	if s == "" || len(s) > 80 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

func describeError(err error) error {
	if status.Code(err) == codes.Unimplemented {
		return nephos.Errorf(nephos.ErrInvalid, "it does not serve nephos.driver.v1.Plugin: it is a plugin of something else, or older than this contract")
	}
	return fmt.Errorf("asking it what it is: %w", wire.FromStatus(err))
}
