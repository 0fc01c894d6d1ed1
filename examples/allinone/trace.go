package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// openTrace returns a tracer whose spans are appended to the file; with no file
// nothing is traced.
func openTrace(path string) (trace.TracerProvider, func() error, error) {
	if path == "" {
		return noop.NewTracerProvider(), func() error { return nil }, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&fileExporter{f: f}))
	return provider, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return errors.Join(provider.Shutdown(ctx), f.Close())
	}, nil
}

// fileExporter writes a span as one line of JSON.
type fileExporter struct {
	mu sync.Mutex
	f  *os.File
}

type line struct {
	Trace      string            `json:"trace"`
	Span       string            `json:"span"`
	Parent     string            `json:"parent,omitempty"`
	Name       string            `json:"name"`
	Start      time.Time         `json:"start"`
	Micros     int64             `json:"micros"`
	Error      string            `json:"error,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// ExportSpans implements the SDK's SpanExporter.
func (e *fileExporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	enc := json.NewEncoder(e.f)
	for _, s := range spans {
		l := line{
			Trace: s.SpanContext().TraceID().String(), Span: s.SpanContext().SpanID().String(), Name: s.Name(), Start: s.StartTime().UTC(),
			Micros: s.EndTime().Sub(s.StartTime()).Microseconds(), Error: s.Status().Description, Attributes: map[string]string{},
		}
		if s.Parent().IsValid() {
			l.Parent = s.Parent().SpanID().String()
		}
		for _, a := range s.Attributes() {
			l.Attributes[string(a.Key)] = a.Value.String()
		}
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// Shutdown implements the SDK's SpanExporter.
func (e *fileExporter) Shutdown(context.Context) error { return nil }
