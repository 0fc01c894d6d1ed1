package network

import (
	"strings"

	"github.com/nephos-cloud/nephos"
)

// The reasons of the errors are the type names of the Networking API's faults,
// and the messages its sentences.

func networkNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Network %s could not be found.", id).WithReason("NetworkNotFound")
}

func subnetNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Subnet %s could not be found.", id).WithReason("SubnetNotFound")
}

func portNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Port %s could not be found.", id).WithReason("PortNotFound")
}

func groupNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Security group %s does not exist", id).WithReason("SecurityGroupNotFound")
}

func ruleNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Security group rule %s does not exist", id).WithReason("SecurityGroupRuleNotFound")
}

func routerNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Router %s could not be found", id).WithReason("RouterNotFound")
}

func floatingIPNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Floating IP %s could not be found", id).WithReason("FloatingIPNotFound")
}

func agentNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Agent %s could not be found.", id).WithReason("AgentNotFound")
}

// invalidInput is the API's most common refusal.
func invalidInput(field, format string, args ...any) error {
	e := nephos.Errorf(nephos.ErrInvalid, format, args...)
	e.Message = "Invalid input for operation: " + e.Message + "."
	return e.WithReason("InvalidInput").WithField(field)
}

// badRequest names the resource that was asked for wrongly.
func badRequest(resource, format string, args ...any) error {
	e := nephos.Errorf(nephos.ErrInvalid, format, args...)
	e.Message = "Bad " + resource + " request: " + e.Message + "."
	return e.WithReason("BadRequest")
}

// badAttribute is what the API's validators say of an attribute's value.
func badAttribute(name, format string, args ...any) error {
	e := nephos.Errorf(nephos.ErrInvalid, format, args...)
	e.Message = "Invalid input for " + name + ". Reason: " + e.Message + "."
	return e.WithReason("HTTPBadRequest").WithField(name)
}

func conflict(reason, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrConflict, format, args...).WithReason(reason)
}

func invalid(reason, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...).WithReason(reason)
}

func overQuota(resources ...string) error {
	return nephos.Errorf(nephos.ErrQuota, "Quota exceeded for resources: ['%s'].", strings.Join(resources, "', '")).WithReason("OverQuota")
}

func notFoundOn(reason, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrNotFound, format, args...).WithReason(reason)
}
