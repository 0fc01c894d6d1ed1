package httpapi

import (
	"net/http"
	"strconv"
	"strings"
)

// GlanceFault writes the Image API's faults, in whichever of three layouts the
// Accept header asks for: HTML when it takes text/html as gladly as JSON (so also
// for */*), JSON when it prefers that, plain text when it takes neither or is
// missing:
//
//	{"message": "No image found with ID ...<br /><br />\n\n\n", "code": "404 Not Found", "title": "Not Found"}
//
// The message stands in the place of the status's own sentence; that of an
// error made by [WithDetail], and of 416, below it.
func GlanceFault(w http.ResponseWriter, r *http.Request, f Fault) {
	if f.Detailed || f.Status == http.StatusRequestedRangeNotSatisfiable {
		webobFault(w, r, f, "", f.Message, webobJSON)
		return
	}
	webobFault(w, r, f, f.Message, "", webobJSON)
}

// PlacementFault writes the Placement API's faults. To a client that prefers
// JSON, or says nothing or */*, they have the shape of the API working group's guideline:
//
//	{"errors": [{"status": 404, "title": "Not Found", "detail": "...", "request_id": "req-..."}]}
//
// with a code (the error's Reason, or placement.undefined_code) from
// microversion 1.23, and with the supported range when the microversion is not.
// Others get [GlanceFault]'s HTML or text. A missing token is answered as by
// keystonemiddleware with delayed decisions.
func PlacementFault(w http.ResponseWriter, r *http.Request, f Fault) {
	switch {
	case f.Unverified:
		unverified(w, f)
		return
	case f.Unrouted && f.Status == http.StatusMethodNotAllowed:
		f.Message = "The method specified is not allowed for this resource."
	}
	if accept := r.Header.Get("Accept"); accept == "" || accept == "*/*" {
		// Placement takes these two, and no others like them, for JSON.
		r = r.WithContext(r.Context())
		r.Header = r.Header.Clone()
		r.Header.Set("Accept", "application/json")
	}
	webobFault(w, r, f, "", f.Message, placementJSON)
}

type webobBody struct {
	Message string `json:"message"`
	Code    string `json:"code"`
	Title   string `json:"title"`
}

func webobJSON(body string, f Fault) any {
	return webobBody{body, strconv.Itoa(f.Status) + " " + f.Title, f.Title}
}

type placementError struct {
	Status     int    `json:"status"`
	Title      string `json:"title"`
	Detail     string `json:"detail"`
	Code       string `json:"code,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	MaxVersion string `json:"max_version,omitempty"`
	MinVersion string `json:"min_version,omitempty"`
}

func placementJSON(body string, f Fault) any {
	e := placementError{Status: f.Status, Title: f.Title, Detail: stripTags(body), RequestID: f.RequestID}
	if f.Version.AtLeast(Version{1, 23}) {
		if e.Code = f.Reason; e.Code == "" {
			e.Code = "placement.undefined_code"
		}
	}
	if f.Status == http.StatusNotAcceptable && f.Versions != nil {
		e.MaxVersion, e.MinVersion = f.Versions.Max.String(), f.Versions.Min.String()
	}
	return map[string][]placementError{"errors": {e}}
}

// webobFault writes a fault as the WebOb library lays it out. The explanation
// stands in for the status's own sentence, the detail comes below it.
func webobFault(w http.ResponseWriter, r *http.Request, f Fault, explain, detail string, toJSON func(string, Fault) any) {
	if explain == "" {
		explain = explanation(f.Status)
	} else if detail == "" && !hasExplanation(f.Status) {
		// These statuses have a sentence of their own that cannot be replaced.
		detail = explain
	}
	if r.Method == http.MethodHead {
		writeText(w, f.Status, "text/html; charset=UTF-8", "")
		return
	}
	status := strconv.Itoa(f.Status) + " " + f.Title
	body := func(escape func(string) string) string {
		switch f.Status {
		case 405:
			return "The method " + escape(r.Method) + " is not allowed for this resource. <br /><br />\n" + escape(detail)
		case 406:
			return "The resource could not be generated that was acceptable to your browser\n(content of type " +
				escape(r.Header.Get("Accept")) + ". <br /><br />\n" + escape(detail)
		case 415:
			given := r.Header.Get("Content-Type")
			if given == "" && f.Service == "placement" {
				given = "None"
			}
			return "The request media type " + escape(given) +
				" is not supported by this server.\n<br /><br />\n" + escape(detail)
		case 501:
			return "\nThe request method " + escape(r.Method) + " is not implemented for this server. <br /><br />\n" + escape(detail)
		}
		return escape(explain) + "<br /><br />\n" + escape(detail) + "\n\n"
	}
	switch negotiateFault(r.Header) {
	case "text/html":
		writeText(w, f.Status, "text/html; charset=UTF-8", "<html>\n <head>\n  <title>"+status+
			"</title>\n </head>\n <body>\n  <h1>"+status+"</h1>\n  "+body(escapeHTML)+"\n </body>\n</html>")
	case "application/json":
		writeFault(w, f.Status, jsonPlain, toJSON(body(asIs), f))
	default:
		writeText(w, f.Status, "text/plain; charset=UTF-8", status+"\n\n"+stripTags(body(asIs)))
	}
}

// hasExplanation reports whether the layout of a status has room for a sentence
// of the service's own.
func hasExplanation(status int) bool {
	return status != 405 && status != 406 && status != 415 && status != 501
}

func writeText(w http.ResponseWriter, status int, contentType, body string) {
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func asIs(s string) string { return s }

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;")

func escapeHTML(s string) string { return htmlEscaper.Replace(s) }

// stripTags makes text of HTML: line breaks become spaces, <br> a line break,
// other tags nothing.
func stripTags(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\n':
			b.WriteByte(' ')
		case '\r':
		case '<':
			end := strings.IndexByte(s[i:], '>')
			if end < 0 {
				b.WriteString(s[i:])
				return b.String()
			}
			if len(s) > i+2 && strings.EqualFold(s[i+1:i+3], "br") {
				b.WriteByte('\n')
			}
			i += end
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// negotiateFault chooses between text/html and application/json by RFC 7231:
// the greater quality wins, text/html when they are equal, neither ("") when
// neither is acceptable.
func negotiateFault(h http.Header) string {
	lines := h["Accept"]
	if len(lines) == 0 {
		return ""
	}
	html, htmlRank := 0.0, 0
	json, jsonRank := 0.0, 0
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		media, params, _ := strings.Cut(part, ";")
		if media = strings.TrimSpace(media); media != "" && !strings.Contains(media, "/") {
			return "text/html" // a malformed header counts for any type
		}
		q := 1.0
		for p := range strings.SplitSeq(params, ";") {
			k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			if strings.EqualFold(k, "q") {
				f, err := strconv.ParseFloat(v, 64)
				if err != nil || !(f >= 0 && f <= 1) {
					return "text/html" // a malformed header counts for any type
				}
				q = f
			}
		}
		switch strings.ToLower(media) {
		case "*/*":
			prefer(&html, &htmlRank, q, 1)
			prefer(&json, &jsonRank, q, 1)
		case "text/*":
			prefer(&html, &htmlRank, q, 2)
		case "application/*":
			prefer(&json, &jsonRank, q, 2)
		case "text/html":
			prefer(&html, &htmlRank, q, 3)
		case "application/json":
			prefer(&json, &jsonRank, q, 3)
		}
	}
	switch {
	case html > 0 && html >= json:
		return "text/html"
	case json > 0:
		return "application/json"
	}
	return ""
}

// prefer takes the quality of a range that is more specific than the last.
func prefer(q *float64, rank *int, newQ float64, newRank int) {
	if newRank > *rank {
		*q, *rank = newQ, newRank
	}
}
