package cinder

import (
	"slices"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
)

// Config are the parts of the API.
type Config struct {
	// Service stands behind every interface below that is left nil.
	Service *blockstorage.Service

	Volumes     blockstorage.Volumes
	Actions     blockstorage.VolumeActions
	Moves       blockstorage.VolumeMoves
	Legacy      blockstorage.LegacyAttachments
	Metadata    blockstorage.Metadata
	Snapshots   blockstorage.Snapshots
	Attachments blockstorage.Attachments
	Types       blockstorage.Types
	Encryption  blockstorage.TypeEncryptions
	Manage      blockstorage.Manageables
	Transfers   blockstorage.Transfers
	QoS         blockstorage.QoSSpecs
	Quotas      blockstorage.Quotas
	Backends    blockstorage.Backends
	Components  blockstorage.Components

	// HTTP carries the public URL, the verifier, logs, metrics and traces. Its
	// Service, Faults and Versions are set here.
	HTTP httpapi.Config
}

// api holds what the handlers need.
type api struct {
	Config
}

// New returns the API.
func New(cfg Config) *httpapi.API {
	if s := cfg.Service; s != nil {
		orElse[blockstorage.Volumes](&cfg.Volumes, s)
		orElse[blockstorage.VolumeActions](&cfg.Actions, s)
		orElse[blockstorage.VolumeMoves](&cfg.Moves, s)
		orElse[blockstorage.LegacyAttachments](&cfg.Legacy, s)
		orElse[blockstorage.Metadata](&cfg.Metadata, s)
		orElse[blockstorage.Snapshots](&cfg.Snapshots, s)
		orElse[blockstorage.Attachments](&cfg.Attachments, s)
		orElse[blockstorage.Types](&cfg.Types, s)
		orElse[blockstorage.TypeEncryptions](&cfg.Encryption, s)
		orElse[blockstorage.Manageables](&cfg.Manage, s)
		orElse[blockstorage.Transfers](&cfg.Transfers, s)
		orElse[blockstorage.QoSSpecs](&cfg.QoS, s)
		orElse[blockstorage.Quotas](&cfg.Quotas, s)
		orElse[blockstorage.Backends](&cfg.Backends, s)
		orElse[blockstorage.Components](&cfg.Components, s)
	}
	cfg.HTTP.Service, cfg.HTTP.Faults = "volume", httpapi.CinderFault
	cfg.HTTP.Versions = &httpapi.VersionRange{Min: httpapi.MustVersion(minVersion), Max: httpapi.MustVersion(maxVersion)}
	a := &api{Config: cfg}
	h := httpapi.New(cfg.HTTP)
	for _, routes := range [][]httpapi.Route{
		a.versionRoutes(), a.volumeRoutes(), a.actionRoutes(), a.metadataRoutes(), a.snapshotRoutes(), a.attachmentRoutes(),
		a.typeRoutes(), a.typeEncryptionRoutes(), a.qosRoutes(), a.manageRoutes(), a.transferRoutes(), a.quotaRoutes(), a.backendRoutes(), a.serviceRoutes(), a.extensionRoutes(),
	} {
		for i, r := range routes {
			routes[i].Handler = ofUTF8(r.Handler)
		}
		h.Add(routes...)
	}
	return h
}

// ofUTF8 runs a handler unless the query is not text.
func ofUTF8(next httpapi.Handler) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		for name, values := range r.Query() {
			if !utf8.ValidString(name) || slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
				return nil, badRequest("Error decoding your request. Either the URL or the request body contained characters that could not be decoded by Cinder.")
			}
		}
		return next(r)
	}
}

// orElse sets a part that was not given.
func orElse[T comparable](part *T, fallback T) {
	var zero T
	if *part == zero {
		*part = fallback
	}
}

// at is a pattern below /v3, with the project in the path or without it.
func at(method, path string) string { return method + " /v3/{project_id?}" + path }
