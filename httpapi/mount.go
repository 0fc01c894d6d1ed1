package httpapi

import (
	"net/http"
	"strings"
)

// Mount serves the handler below the prefix, such as /compute. The prefix
// itself, without a slash at its end, is the handler's root and no redirect:
// clients ask it for the version document.
func Mount(mux *http.ServeMux, prefix string, h http.Handler) {
	prefix = "/" + strings.Trim(prefix, "/")
	mux.Handle(prefix+"/", http.StripPrefix(prefix, h))
	mux.Handle(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		root := r.Clone(r.Context())
		root.URL.Path, root.URL.RawPath = "/", ""
		h.ServeHTTP(w, root)
	}))
}
