package httpapi

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts and times requests. One serves all APIs of a process.
type Metrics struct{ requests *prometheus.HistogramVec }

// NewMetrics registers the histogram nephos_http_request_duration_seconds, by
// service, route pattern, method and class of status (such as 2xx). Label values
// come from the routes, never from requests.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "nephos_http_request_duration_seconds",
		Help:    "Time from a request's arrival to the end of its answer, in seconds.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"service", "route", "method", "status"})}
	return m, reg.Register(m.requests)
}

// routeMetrics holds one route's observers, made when they are first needed, so
// that counting a request costs no lookup of labels.
type routeMetrics struct{ *routeObservers }

type routeObservers struct {
	vec     *prometheus.HistogramVec
	service string
	route   string
	seen    sync.Map // class and method → prometheus.Observer
}

func (m *Metrics) route(service, pattern string) routeMetrics {
	if m == nil {
		return routeMetrics{}
	}
	return routeMetrics{&routeObservers{vec: m.requests, service: service, route: pattern}}
}

type observerKey struct {
	method string
	class  int
}

var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

func (m routeMetrics) observe(method string, status int, took time.Duration) {
	if m.routeObservers == nil {
		return
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		method = "other"
	}
	key := observerKey{method, min(max(status/100, 1), 5)}
	o, ok := m.seen.Load(key)
	if !ok {
		o, _ = m.seen.LoadOrStore(key, m.vec.WithLabelValues(m.service, m.routeObservers.route, method, classes[key.class-1]))
	}
	o.(prometheus.Observer).Observe(took.Seconds())
}
