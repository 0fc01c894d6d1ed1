package image

import (
	"context"
	"errors"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
)

const (
	admin         = "role:admin"
	ownersMember  = "role:member and project_id:%(project_id)s"
	ownersReader  = "role:reader and project_id:%(project_id)s"
	sharedWith    = "project_id:%(member_id)s"
	visible       = "project_id:%(project_id)s or " + sharedWith + " or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s"
	adminOrMember = admin + " or (" + ownersMember + ")"
	adminOrReader = admin + " or (" + ownersReader + ")"

	// ruleService is the rule for the cloud's other services, which act on any
	// image by it, on somebody's behalf or not.
	ruleService = "image:act_as_service"
)

func ops(operations ...string) []string { return operations }

// Rules returns every rule that this package enforces, by OpenStack's names and
// with the defaults of its secure RBAC, and the one for the cloud's own
// services.
func Rules() []policy.Rule {
	rules := []policy.Rule{
		{Name: "add_image", Check: admin + " or (" + ownersMember + " and project_id:%(owner)s)", Operations: ops("POST /v2/images"), Description: "Create an image."},
		{Name: "delete_image", Check: adminOrMember, Operations: ops("DELETE /v2/images/{image_id}"), Description: "Delete an image."},
		{Name: "get_image", Check: admin + " or (role:reader and (" + visible + "))", Operations: ops("GET /v2/images/{image_id}"), Description: "See an image."},
		{Name: "get_images", Check: adminOrReader, Operations: ops("GET /v2/images"), Description: "List images."},
		{Name: "modify_image", Check: adminOrMember, Operations: ops("PATCH /v2/images/{image_id}"), Description: "Change an image."},
		{Name: "publicize_image", Check: admin, Operations: ops("PATCH /v2/images/{image_id}"), Description: "Make an image public."},
		{Name: "communitize_image", Check: adminOrMember, Operations: ops("PATCH /v2/images/{image_id}"), Description: "Make an image a community image."},
		{Name: "download_image", Check: admin + " or (role:member and (" + visible + "))", Operations: ops("GET /v2/images/{image_id}/file"), Description: "Download an image's bytes."},
		{Name: "upload_image", Check: adminOrMember, Operations: ops("PUT /v2/images/{image_id}/file"), Description: "Upload an image's bytes."},
		{Name: "delete_image_location", Check: admin, Operations: ops("PATCH /v2/images/{image_id}"), Description: "Remove a location of an image."},
		{Name: "get_image_location", Check: adminOrReader, Operations: ops("GET /v2/images/{image_id}"), Description: "See the locations of an image."},
		{Name: "set_image_location", Check: adminOrMember, Operations: ops("PATCH /v2/images/{image_id}"), Description: "Set the locations of an image."},
		{Name: "add_member", Check: adminOrMember, Operations: ops("POST /v2/images/{image_id}/members"), Description: "Share an image with a project."},
		{Name: "delete_member", Check: adminOrMember, Operations: ops("DELETE /v2/images/{image_id}/members/{member_id}"), Description: "Stop sharing an image with a project."},
		{Name: "get_member", Check: admin + " or role:reader and (project_id:%(project_id)s or " + sharedWith + ")", Operations: ops("GET /v2/images/{image_id}/members/{member_id}"), Description: "See with whom an image is shared."},
		{Name: "get_members", Check: admin + " or role:reader and (project_id:%(project_id)s or " + sharedWith + ")", Operations: ops("GET /v2/images/{image_id}/members"), Description: "List with whom an image is shared."},
		{Name: "modify_member", Check: admin + " or (role:member and " + sharedWith + ")", Operations: ops("PUT /v2/images/{image_id}/members/{member_id}"), Description: "Accept or reject a shared image."},
		{Name: "deactivate", Check: adminOrMember, Operations: ops("POST /v2/images/{image_id}/actions/deactivate"), Description: "Stop downloads of an image."},
		{Name: "reactivate", Check: adminOrMember, Operations: ops("POST /v2/images/{image_id}/actions/reactivate"), Description: "Allow downloads of an image again."},
	}
	for i := range rules {
		rules[i].ScopeTypes = []string{"project"}
	}
	return append(rules, policy.Rule{
		Name: ruleService, Check: "role:service", Description: "What the cloud's other services do with images.",
	})
}

// isService reports whether one of the cloud's own services is calling.
func isService(ctx context.Context) bool {
	c, ok := nephos.CallerFrom(ctx)
	return ok && c.Service != "" && slices.Contains(c.Roles, "service")
}

// seesAll reports whether every image exists for the caller.
func (s *Service) seesAll(ctx context.Context) bool {
	return isService(ctx) || s.cfg.Policy.Allowed(ctx, "context_is_admin", policy.Target{})
}

// enforce checks a rule, and refuses in the Image API's words. Services have a
// rule of their own.
func (s *Service) enforce(ctx context.Context, rule string, target policy.Target) error {
	checked := rule
	if isService(ctx) {
		checked = ruleService
	}
	err := s.cfg.Policy.Enforce(ctx, checked, target)
	if errors.Is(err, nephos.ErrForbidden) {
		e := nephos.Errorf(nephos.ErrForbidden, "You are not authorized to complete %s action.", rule)
		e.Reason, e.Cause = "PolicyNotAuthorized", err
		return e
	}
	return err
}

// enforceOn checks a rule against an image that exists for the caller. To one
// who may not even see it, it does not exist.
func (s *Service) enforceOn(ctx context.Context, rule string, img Image) error {
	target := targetOf(ctx, img)
	err := s.enforce(ctx, rule, target)
	if errors.Is(err, nephos.ErrForbidden) && (rule == "get_image" || s.enforce(ctx, "get_image", target) != nil) {
		return notFound(img.ID)
	}
	return err
}

// targetOf is what rules may ask of an image.
func targetOf(ctx context.Context, img Image) policy.Target {
	t := make(policy.Target, len(img.Properties)+16)
	for k, v := range img.Properties {
		t[k] = v
	}
	t["id"], t["image_id"] = img.ID, img.ID
	t["name"] = nil
	if img.Name != nil {
		t["name"] = *img.Name
	}
	t["status"], t["visibility"] = img.Status, img.Visibility
	t["owner"], t["project_id"] = orNil(img.Owner), orNil(img.Owner)
	t["disk_format"], t["container_format"] = orNil(img.DiskFormat), orNil(img.ContainerFormat)
	t["protected"], t["os_hidden"] = img.Protected, img.Hidden
	t["min_disk"], t["min_ram"] = img.MinDisk, img.MinRAM
	// A shared image that exists for another project does so because that
	// project is a member.
	t["member"], t["member_id"] = nil, nil
	if c, ok := nephos.CallerFrom(ctx); ok && img.Visibility == Shared && c.ProjectID != img.Owner {
		t["member"], t["member_id"] = orNil(c.ProjectID), orNil(c.ProjectID)
	}
	return t
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// ChangeRefused is the reason of the error when one step of an update cannot be
// taken on this image, whoever asks.
const ChangeRefused = "ChangeRefused"

// NoImage is the reason of the error for an image that does not exist for the
// caller.
const NoImage = "ImageNotFound"

func notFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "No image found with ID %s", clip(id)).WithReason(NoImage)
}

// clip bounds text from outside that goes into a message.
func clip(s string) string {
	if len(s) > 255 {
		return s[:255]
	}
	return s
}
