package identity

import "context"

// ProjectExists reports whether there is a project of the id, for services that
// are told of one: Nova and Cinder refuse quotas for projects that are not
// there. It tells nothing else, and asks no policy: the service that asks has
// enforced its own rule.
func (s *Service) ProjectExists(ctx context.Context, id string) (bool, error) {
	return s.cfg.Store.Reader().NewSelect().Model((*projectRow)(nil)).Where("project.id = ?", id).Exists(ctx)
}
