package identity

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

const (
	maxTags      = 80  // of one project
	maxTagLength = 255 // characters
)

// ProjectTags is what the Identity API's project tags need.
type ProjectTags interface {
	// ProjectTags returns a project's tags, sorted.
	ProjectTags(ctx context.Context, id string) ([]string, error)
	// HasProjectTag returns ErrNotFound when the project lacks the tag.
	HasProjectTag(ctx context.Context, id, tag string) error
	// SetProjectTags replaces a project's tags.
	SetProjectTags(ctx context.Context, id string, tags []string) ([]string, error)
	// AddProjectTag adds a tag; one that is there already is ErrInvalid.
	AddProjectTag(ctx context.Context, id, tag string) error
	// RemoveProjectTag removes a tag; ErrNotFound when it is not there.
	RemoveProjectTag(ctx context.Context, id, tag string) error
	// ClearProjectTags removes all tags.
	ClearProjectTags(ctx context.Context, id string) error
}

var _ ProjectTags = (*Service)(nil)

// ProjectTags implements [ProjectTags].
func (s *Service) ProjectTags(ctx context.Context, id string) ([]string, error) {
	p, err := s.projectFor(ctx, "identity:list_project_tags", id)
	return p.Tags, err
}

// HasProjectTag implements [ProjectTags].
func (s *Service) HasProjectTag(ctx context.Context, id, tag string) error {
	p, err := s.projectFor(ctx, "identity:get_project_tag", id)
	if err != nil {
		return err
	}
	if !slices.Contains(p.Tags, tag) {
		return notFound("project tag", tag)
	}
	return nil
}

// SetProjectTags implements [ProjectTags].
func (s *Service) SetProjectTags(ctx context.Context, id string, tags []string) ([]string, error) {
	tags = sortedTags(tags)
	return tags, s.changeTags(ctx, "identity:update_project_tags", id, func([]string) ([]string, error) { return tags, nil })
}

// AddProjectTag implements [ProjectTags].
func (s *Service) AddProjectTag(ctx context.Context, id, tag string) error {
	return s.changeTags(ctx, "identity:create_project_tag", id, func(tags []string) ([]string, error) {
		if slices.Contains(tags, tag) {
			return nil, nephos.Errorf(nephos.ErrInvalid, "['%s'] has non-unique elements", strings.Join(append(tags, tag), "', '")).WithField("tags")
		}
		return sortedTags(append(tags, tag)), nil
	})
}

// RemoveProjectTag implements [ProjectTags].
func (s *Service) RemoveProjectTag(ctx context.Context, id, tag string) error {
	return s.changeTags(ctx, "identity:delete_project_tag", id, func(tags []string) ([]string, error) {
		i := slices.Index(tags, tag)
		if i < 0 {
			return nil, notFound("project tag", tag)
		}
		return slices.Delete(tags, i, i+1), nil
	})
}

// ClearProjectTags implements [ProjectTags].
func (s *Service) ClearProjectTags(ctx context.Context, id string) error {
	return s.changeTags(ctx, "identity:delete_project_tags", id, func([]string) ([]string, error) { return nil, nil })
}

func (s *Service) projectFor(ctx context.Context, rule, id string) (Project, error) {
	p, err := loadProject(ctx, s.cfg.Store.Reader(), id)
	if e := s.enforce(ctx, rule, projectTarget(p)); e != nil {
		return Project{}, e
	}
	return p, err
}

func (s *Service) changeTags(ctx context.Context, rule, id string, change func([]string) ([]string, error)) error {
	if _, err := s.projectFor(ctx, rule, id); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		p, err := loadProject(ctx, tx, id)
		if err != nil {
			return err
		}
		tags, err := change(p.Tags)
		if err != nil {
			return err
		}
		if err := checkTags(tags); err != nil {
			return err
		}
		if err := writeTags(ctx, tx, id, tags); err != nil {
			return err
		}
		return s.emit(ctx, tx, "project.update", id, nil)
	})
}

func sortedTags(tags []string) []string {
	tags = slices.Clone(tags)
	slices.Sort(tags)
	return slices.Compact(tags)
}

func checkTags(tags []string) error {
	if len(tags) > maxTags {
		return nephos.Errorf(nephos.ErrInvalid, "A project may have at most %d tags.", maxTags).WithField("tags")
	}
	for _, t := range tags {
		if t == "" || utf8.RuneCountInString(t) > maxTagLength || strings.ContainsAny(t, ",/\x00") || !utf8.ValidString(t) {
			return nephos.Errorf(nephos.ErrInvalid, "A tag is 1 to %d characters without comma and slash.", maxTagLength).WithField("tags")
		}
	}
	return nil
}

func writeTags(ctx context.Context, tx *store.Tx, id string, tags []string) error {
	if _, err := tx.NewRaw("DELETE FROM identity_project_tags WHERE project_id = ?", id).Exec(ctx); err != nil {
		return err
	}
	if len(tags) == 0 {
		return nil
	}
	rows := make([]tagRow, len(tags))
	for i, t := range tags {
		rows[i] = tagRow{ProjectID: id, Tag: t}
	}
	_, err := tx.NewInsert().Model(&rows).Exec(ctx)
	return err
}

// filterTags adds the conditions of the working group's tag guideline.
func filterTags(q *bun.SelectQuery, f ProjectFilter) *bun.SelectQuery {
	const any = "EXISTS (SELECT 1 FROM identity_project_tags t WHERE t.project_id = project.id AND t.tag IN (?))"
	const all = "(SELECT COUNT(*) FROM identity_project_tags t WHERE t.project_id = project.id AND t.tag IN (?)) = ?"
	if tags := sortedTags(f.Tags); len(tags) > 0 {
		q = q.Where(all, bun.List(tags), len(tags))
	}
	if tags := sortedTags(f.NotTags); len(tags) > 0 {
		q = q.Where("NOT "+all, bun.List(tags), len(tags))
	}
	if len(f.TagsAny) > 0 {
		q = q.Where(any, bun.List(f.TagsAny))
	}
	if len(f.NotTagsAny) > 0 {
		q = q.Where("NOT "+any, bun.List(f.NotTagsAny))
	}
	return q
}
