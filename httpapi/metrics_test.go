package httpapi

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/nephos-cloud/nephos"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg)
	require.NoError(t, err)
	_, err = NewMetrics(reg)
	require.Error(t, err)
	a := New(Config{Service: "compute", Verifier: someTokens, Metrics: m})
	a.Add(get("GET /servers/{id}", func(r *Request) (*Response, error) {
		if r.PathValue("id") == "no" {
			return nil, nephos.NotFound("Instance", "no")
		}
		return NoContent(), nil
	}))
	for _, request := range []string{"GET /servers/a", "GET /servers/b", "GET /servers/no", "BREW /coffee"} {
		do(a, request, "")
	}
	families, err := reg.Gather()
	require.NoError(t, err)
	got := map[string]uint64{}
	for _, s := range families[0].GetMetric() {
		key := ""
		for _, l := range s.GetLabel() {
			key += l.GetValue() + " "
		}
		got[key] = s.GetHistogram().GetSampleCount()
	}
	// Labels come in the order of their names: method, route, service, status.
	require.Equal(t, map[string]uint64{
		"GET GET /servers/{id} compute 2xx ": 2,
		"GET GET /servers/{id} compute 4xx ": 1,
		"other none compute 4xx ":            1,
	}, got)
}

func TestTracing(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	a := New(Config{
		Service: "compute", Verifier: someTokens,
		Tracer: trace.NewTracerProvider(trace.WithSpanProcessor(rec)),
	})
	a.Add(get("GET /boom/{id}", func(*Request) (*Response, error) { panic("x") }))
	do(a, "GET /boom/1", "", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.Len(t, rec.Ended(), 1)
	span := rec.Ended()[0]
	require.Equal(t, "GET /boom/{id}", span.Name())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext().TraceID().String())
	require.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
	require.Equal(t, "Error", span.Status().Code.String())
}
