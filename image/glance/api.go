package glance

import (
	"errors"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

// Config are the parts of the API.
type Config struct {
	// Service stands behind every interface below that is left nil.
	Service *image.Service

	Images     image.Images
	Activation image.Activation
	Tags       image.Tags
	Members    image.Members
	Data       image.Data
	Quotas     image.Quotas
	Staging    image.Staging // nil: images are not imported
	Stores     image.Stores  // nil, or one store: clients are told of none
	// Signed serves the doors for hosts; without it there are none.
	Signed image.Signed

	// HTTP carries the verifier, the public URL, logs, metrics and traces. Its
	// Service and Faults are set here.
	HTTP httpapi.Config
}

// api holds what the handlers need.
type api struct{ Config }

// New returns the API.
func New(cfg Config) *httpapi.API {
	if s := cfg.Service; s != nil {
		orElse[image.Images](&cfg.Images, s)
		orElse[image.Activation](&cfg.Activation, s)
		orElse[image.Tags](&cfg.Tags, s)
		orElse[image.Members](&cfg.Members, s)
		orElse[image.Data](&cfg.Data, s)
		orElse[image.Quotas](&cfg.Quotas, s)
		orElse[image.Stores](&cfg.Stores, s)
		orElse[image.Staging](&cfg.Staging, s)
		orElse[image.Signed](&cfg.Signed, s)
	}
	cfg.HTTP.Service, cfg.HTTP.Faults = "image", httpapi.GlanceFault
	cfg.HTTP.Unrouted = otherVersions
	a := &api{Config: cfg}
	h := httpapi.New(cfg.HTTP)
	h.Add(a.versionRoutes()...)
	h.Add(a.schemaRoutes()...)
	if cfg.Images != nil {
		h.Add(a.imageRoutes()...)
		h.Add(a.importRoutes()...)
		h.Add(a.storeRoutes()...)
	}
	if cfg.Activation != nil {
		h.Add(a.actionRoutes()...)
	}
	if cfg.Tags != nil {
		h.Add(a.tagRoutes()...)
	}
	if cfg.Members != nil {
		h.Add(a.memberRoutes()...)
	}
	if cfg.Data != nil {
		h.Add(a.dataRoutes()...)
	}
	if cfg.Quotas != nil {
		h.Add(a.usageRoutes()...)
	}
	if cfg.Signed != nil {
		h.Add(a.signedRoutes()...)
	}
	return h
}

// orElse sets a part that was not given.
func orElse[T comparable](part *T, fallback T) {
	var zero T
	if *part == zero {
		*part = fallback
	}
}

// says replaces the sentence of an error that has the reason, keeping its kind.
func says(err error, reason, message string) error {
	var e *nephos.Error
	if errors.As(err, &e) && e.Reason == reason {
		return &nephos.Error{Kind: e.Kind, Message: message, Reason: reason, Cause: err}
	}
	return err
}

func invalid(format string, args ...any) *nephos.Error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...)
}

func forbidden(format string, args ...any) *nephos.Error {
	return nephos.Errorf(nephos.ErrForbidden, format, args...)
}

// clip bounds text from outside that goes into a message.
func clip(s string) string {
	if len(s) > 255 {
		return s[:255]
	}
	return s
}
