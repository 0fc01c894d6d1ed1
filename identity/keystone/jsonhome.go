package keystone

import (
	"mime"
	"regexp"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/httpapi"
)

// jsonHomeType is the media type of the document that lists the resources.
const jsonHomeType = "application/json-home"

// relations are the names that the API's reference gives its resources, and
// where they are below /v3. Names with a slash are an extension's.
func relations() map[string]string {
	return map[string]string{
		"auth_catalog": "/auth/catalog", "auth_domains": "/auth/domains", "auth_projects": "/auth/projects",
		"auth_system": "/auth/system", "auth_tokens": "/auth/tokens",
		"OS-FEDERATION/domains": "/auth/domains", "OS-FEDERATION/projects": "/auth/projects",
		"domains": "/domains", "domain": "/domains/{domain_id}",
		"domain_group_roles":   "/domains/{domain_id}/groups/{group_id}/roles",
		"domain_group_role":    "/domains/{domain_id}/groups/{group_id}/roles/{role_id}",
		"domain_user_roles":    "/domains/{domain_id}/users/{user_id}/roles",
		"domain_user_role":     "/domains/{domain_id}/users/{user_id}/roles/{role_id}",
		"endpoints":            "/endpoints",
		"endpoint":             "/endpoints/{endpoint_id}",
		"groups":               "/groups",
		"group":                "/groups/{group_id}",
		"group_users":          "/groups/{group_id}/users",
		"group_user":           "/groups/{group_id}/users/{user_id}",
		"projects":             "/projects",
		"project":              "/projects/{project_id}",
		"project_group_roles":  "/projects/{project_id}/groups/{group_id}/roles",
		"project_group_role":   "/projects/{project_id}/groups/{group_id}/roles/{role_id}",
		"project_tags":         "/projects/{project_id}/tags/{value}",
		"project_user_roles":   "/projects/{project_id}/users/{user_id}/roles",
		"project_user_role":    "/projects/{project_id}/users/{user_id}/roles/{role_id}",
		"regions":              "/regions",
		"region":               "/regions/{region_id}",
		"role_assignments":     "/role_assignments",
		"role_inferences":      "/role_inferences",
		"roles":                "/roles",
		"role":                 "/roles/{role_id}",
		"implied_roles":        "/roles/{prior_role_id}/implies",
		"implied_role":         "/roles/{prior_role_id}/implies/{implied_role_id}",
		"services":             "/services",
		"service":              "/services/{service_id}",
		"system_group_roles":   "/system/groups/{group_id}/roles",
		"system_group_role":    "/system/groups/{group_id}/roles/{role_id}",
		"system_user_roles":    "/system/users/{user_id}/roles",
		"system_user_role":     "/system/users/{user_id}/roles/{role_id}",
		"users":                "/users",
		"user":                 "/users/{user_id}",
		"user_groups":          "/users/{user_id}/groups",
		"user_projects":        "/users/{user_id}/projects",
		"user_change_password": "/users/{user_id}/password",

		"application_credentials": "/users/{user_id}/application_credentials",
		"application_credential":  "/users/{user_id}/application_credentials/{application_credential_id}",

		"OS-INHERIT/domain_group_roles_inherited_to_projects": "/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/inherited_to_projects",
		"OS-INHERIT/domain_group_role_inherited_to_projects":  "/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
		"OS-INHERIT/domain_user_roles_inherited_to_projects":  "/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/inherited_to_projects",
		"OS-INHERIT/domain_user_role_inherited_to_projects":   "/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
		"OS-INHERIT/project_group_role_inherited_to_projects": "/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
		"OS-INHERIT/project_user_role_inherited_to_projects":  "/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
	}
}

var variable = regexp.MustCompile(`\{(\w+)\}`)

// jsonHome lists the resources, with a prefix before each path.
func jsonHome(prefix string) *httpapi.Response {
	const base = "https://docs.openstack.org/api/openstack-identity/3/"
	resources := map[string]any{}
	for name, path := range relations() {
		rel := base + "rel/" + name
		if extension, short, ok := strings.Cut(name, "/"); ok {
			rel = base + "ext/" + extension + "/1.0/rel/" + short
		}
		vars := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(path, -1) {
			param := map[string]string{"value": "tag_value", "prior_role_id": "role_id", "implied_role_id": "role_id"}[m[1]]
			if param == "" {
				param = m[1]
			}
			vars[m[1]] = base + "param/" + param
		}
		if len(vars) == 0 {
			resources[rel] = map[string]any{"href": prefix + path}
		} else {
			resources[rel] = map[string]any{"href-template": prefix + path, "href-vars": vars}
		}
	}
	return httpapi.OK(map[string]any{"resources": resources}).Set("Content-Type", jsonHomeType)
}

// wantsHome reports whether the client would rather have the list of resources
// than a version's document.
func wantsHome(r *httpapi.Request) bool {
	home, plain := 0.0, 0.0
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		switch media {
		case jsonHomeType:
			home = max(home, q)
		case "application/json", "application/*", "*/*":
			plain = max(plain, q)
		}
	}
	return home > plain
}
