package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeClientFiles writes clouds.yaml and openrc, readable by the owner only,
// each whole or not at all.
func writeClientFiles(dir, authURL, region, password string) error {
	files := map[string]string{
		"clouds.yaml": fmt.Sprintf(`# Written by Nephos at each start.
clouds:
  nephos:
    auth:
      auth_url: %q
      username: admin
      password: %q
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: %q
    identity_api_version: 3
    interface: public
`, authURL, password, region),
		"openrc": fmt.Sprintf(`# Written by Nephos at each start. Use it with: . %s
export OS_AUTH_URL=%s
export OS_USERNAME=admin
export OS_PASSWORD=%s
export OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_NAME=Default
export OS_PROJECT_DOMAIN_NAME=Default
export OS_REGION_NAME=%s
export OS_IDENTITY_API_VERSION=3
export OS_INTERFACE=public
`, filepath.Join(dir, "openrc"), quote(authURL), quote(password), quote(region)),
	}
	for name, text := range files {
		if err := writeFile(filepath.Join(dir, name), []byte(text)); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// quote makes one word of a text for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
