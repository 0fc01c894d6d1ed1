package image

import (
	"context"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// UpdateImage implements [Images].
func (s *Service) UpdateImage(ctx context.Context, id string, changes []Change) (Image, error) {
	if len(changes) == 0 {
		return s.Image(ctx, id)
	}
	return s.change(ctx, id, "get_image", func(ctx context.Context, img *Image) error {
		props := len(img.Properties)
		for _, ch := range changes {
			if err := s.apply(ctx, img, ch); err != nil {
				return err
			}
		}
		l := s.cfg.Limits
		if len(img.Properties) <= props {
			l.Properties = -1 // a limit that was lowered does not lock what is there
		}
		return l.check(*img)
	})
}

// apply takes one step, after checking the rules that guard it.
func (s *Service) apply(ctx context.Context, img *Image, ch Change) error {
	switch {
	case ch.Name == "locations":
		return s.applyLocations(ctx, *img, ch)
	case slices.Contains(readOnly, ch.Name):
		return readOnlyError(ch.Name)
	case slices.Contains(reserved, ch.Name), strings.HasPrefix(ch.Name, reservedPrefix):
		return reservedError(ch.Name)
	case ch.Name == "owner" && ch.Op != Remove && !s.seesAll(ctx):
		return nephos.Errorf(nephos.ErrForbidden, "Owner can't be updated by non admin.").WithField("owner").WithReason(ChangeRefused)
	}
	if v, ok := ch.Value.(string); ok && ch.Name == "visibility" && ch.Op != Remove {
		if err := s.enforceVisibility(ctx, v, targetOf(ctx, *img)); err != nil {
			return err
		}
	}
	if err := s.enforceOn(ctx, "modify_image", *img); err != nil {
		return err
	}
	if slices.Contains(attributes, ch.Name) {
		switch ch.Op {
		case AddNew:
			return present(ch.Name)
		case Remove:
			return nephos.Errorf(nephos.ErrForbidden, "Property %s may not be removed.", ch.Name).WithField(ch.Name).WithReason(ChangeRefused)
		}
		return setAttribute(img, ch.Name, ch.Value)
	}
	return setProperty(img, ch)
}

func present(name string) error {
	return nephos.Errorf(nephos.ErrConflict, "Property %s already present.", clip(name)).WithField(clip(name)).WithReason(ChangeRefused)
}

func setProperty(img *Image, ch Change) error {
	_, there := img.Properties[ch.Name]
	switch {
	case ch.Op == AddNew && there:
		return present(ch.Name)
	case (ch.Op == Replace || ch.Op == Remove) && !there:
		return nephos.Errorf(nephos.ErrConflict, "Property %s does not exist.", clip(ch.Name)).WithField(clip(ch.Name)).WithReason(ChangeRefused)
	case ch.Op == Remove:
		delete(img.Properties, ch.Name)
		return nil
	}
	v, ok := ch.Value.(string)
	if !ok {
		return mismatch(clip(ch.Name), "the value of %s is not of type 'string'", clip(ch.Name))
	}
	img.Properties[ch.Name] = v
	return nil
}

// setAttribute sets what is not a property.
func setAttribute(img *Image, name string, value any) error {
	ok := true
	switch name {
	case "name":
		img.Name = nil
		if value != nil {
			var s string
			s, ok = value.(string)
			img.Name = &s
		}
	case "visibility":
		img.Visibility, ok = value.(string)
	case "owner":
		img.Owner, ok = textOrNil(value)
	case "disk_format", "container_format":
		if img.Status != Queued {
			return nephos.Errorf(nephos.ErrForbidden, "Attribute %s can be only replaced for a queued image.", name).WithField(name)
		}
		at := &img.DiskFormat
		if name == "container_format" {
			at = &img.ContainerFormat
		}
		*at, ok = textOrNil(value)
	case "min_disk":
		img.MinDisk, ok = value.(int64)
	case "min_ram":
		img.MinRAM, ok = value.(int64)
	case "protected":
		img.Protected, ok = value.(bool)
	case "os_hidden":
		img.Hidden, ok = value.(bool)
	case "tags":
		var tags []string
		tags, ok = value.([]string)
		img.Tags = sortedSet(tags)
	}
	if !ok {
		return mismatch(name, "the value of %s is of the wrong type", name)
	}
	return nil
}

func textOrNil(value any) (string, bool) {
	if value == nil {
		return "", true
	}
	s, ok := value.(string)
	return s, ok
}

// applyLocations refuses, as where locations are not shown: this service keeps
// the bytes itself.
func (s *Service) applyLocations(ctx context.Context, img Image, ch Change) error {
	rule, verb := "set_image_location", "add"
	switch ch.Op {
	case Remove:
		rule, verb = "delete_image_location", "remove"
	case Replace:
		verb = "update"
		if list, ok := ch.Value.([]string); ok && len(list) == 0 {
			return nephos.Errorf(nephos.ErrForbidden, "Cannot set locations to empty list.").WithField("locations").WithReason(ChangeRefused)
		}
	}
	if err := s.enforceOn(ctx, rule, img); err != nil {
		return err
	}
	return nephos.Errorf(nephos.ErrForbidden, "It's not allowed to %s locations if locations are invisible.", verb).WithField("locations")
}

// AddTag implements [Tags].
func (s *Service) AddTag(ctx context.Context, id, tag string) error {
	_, err := s.change(ctx, id, "modify_image", func(_ context.Context, img *Image) error {
		if err := checkText("tags", tag, maxText); err != nil {
			return err
		}
		img.Tags = sortedSet(append(slices.Clone(img.Tags), tag))
		if err := s.cfg.Limits.checkTags(len(img.Tags)); err != nil {
			return nephos.Errorf(nephos.ErrTooLarge, "Image tag limit exceeded for image %s: %s:", img.ID, err)
		}
		return nil
	})
	return err
}

// RemoveTag implements [Tags].
func (s *Service) RemoveTag(ctx context.Context, id, tag string) error {
	_, err := s.change(ctx, id, "modify_image", func(_ context.Context, img *Image) error {
		if !slices.Contains(img.Tags, tag) {
			return &nephos.Error{Kind: nephos.ErrNotFound, Reason: "NoSuchTag", Message: "The resource could not be found."}
		}
		img.Tags = slices.DeleteFunc(slices.Clone(img.Tags), func(t string) bool { return t == tag })
		return nil
	})
	return err
}

// Deactivate implements [Activation].
func (s *Service) Deactivate(ctx context.Context, id string) error {
	return s.switchTo(ctx, id, "deactivate", Active, Deactivated)
}

// Reactivate implements [Activation].
func (s *Service) Reactivate(ctx context.Context, id string) error {
	return s.switchTo(ctx, id, "reactivate", Deactivated, Active)
}

func (s *Service) switchTo(ctx context.Context, id, action, from, to string) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		old, row, err := s.load(ctx, tx, id)
		if err != nil {
			return s.unlessUnknown(ctx, err)
		}
		if err := s.enforceOn(ctx, action, old); err != nil {
			return err
		}
		switch old.Status {
		case to:
			return nil
		case from:
			img := old
			img.Status = to
			return s.save(ctx, tx, old, &img, row, "image."+action)
		}
		return nephos.Errorf(nephos.ErrForbidden, "Not allowed to %s image in status '%s'", action, old.Status)
	})
}
