package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

type embedded struct {
	Zone string `json:"availability_zone"`
}

type serverBody struct {
	Server struct {
		embedded
		Name     string  `json:"name"`
		MinCount Int     `json:"min_count"`
		Confirm  Bool    `json:"confirm"`
		Size     int8    `json:"size"`
		Ratio    float64 `json:"ratio"`
		Blob     []byte  `json:"user_data"`
		Networks []struct {
			UUID *string `json:"uuid"`
		} `json:"networks"`
		Meta map[string]string `json:"metadata"`
		Any  any               `json:"any"`
		Skip string            `json:"-"`
	} `json:"server"`
}

// request returns a request to an API of the service with a body.
func request(t testing.TB, service, target, body string, headers ...string) *Request {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Set(k, v)
	}
	return &Request{Request: r, Writer: httptest.NewRecorder(), api: newAPI(t, service, nil)}
}

func TestDecode(t *testing.T) {
	var v serverBody
	require.NoError(t, request(t, "compute", "/", `{"server": {
		"name": "a", "name": "vm", "min_count": "3", "confirm": "yes", "size": -8, "ratio": 1.5, "user_data": "aGk=",
		"availability_zone": "nova", "networks": [{"uuid": "n1"}, {"uuid": null}], "metadata": {"k": "v"}, "any": [1]
	}} `).Decode(&v))
	require.Equal(t, "vm", v.Server.Name)
	require.EqualValues(t, 3, v.Server.MinCount)
	require.True(t, bool(v.Server.Confirm))
	require.Equal(t, "hi", string(v.Server.Blob))
	require.Equal(t, "nova", v.Server.Zone)
	require.Nil(t, v.Server.Networks[1].UUID)
}

func TestDecodeRefuses(t *testing.T) {
	for body, want := range map[string]struct{ field, message string }{
		``:                                   {"body", "None is not of type 'object'"},
		`{`:                                  {"body", "Malformed request body"},
		`{} {}`:                              {"body", "Malformed request body"},
		"{\"server\": {\"name\": \"\xff\"}}": {"body", "Malformed request body"},
		`{}x`:                                {"body", "Malformed request body"},
		`[]`:                                 {"body", "[] is not of type 'object'"},
		`{"server": {"name": 1}}`:            {"server.name", "Invalid input for field/attribute name. Value: 1. 1 is not of type 'string'"},
		`{"server": {"name": null}}`:         {"server.name", "Invalid input for field/attribute name. Value: None. None is not of type 'string'"},
		`{"server": {"min_count": "x"}}`:     {"server.min_count", "Invalid input for field/attribute min_count. Value: x. 'x' is not of type 'integer'"},
		`{"server": {"confirm": "maybe"}}`:   {"server.confirm", "Invalid input for field/attribute confirm. Value: maybe. 'maybe' is not of type 'boolean'"},
		`{"server": {"size": 300}}`:          {"server.size", "Invalid input for field/attribute size. Value: 300. 300 is not of type 'integer'"},
		`{"server": {"size": 1.5}}`:          {"server.size", "Invalid input for field/attribute size. Value: 1.5. 1.5 is not of type 'integer'"},
		`{"server": {"networks": [{"uuid": {"a": true}}]}}`: {"server.networks.0.uuid", "Invalid input for field/attribute uuid. Value: {'a': True}. {'a': True} is not of type 'string'"},
		`{"server": {"metadata": {"k": []}}}`:               {"server.metadata.k", "Invalid input for field/attribute k. Value: []. [] is not of type 'string'"},
		`{"server": {"Name": "x"}}`:                         {"server.Name", "Invalid input for field/attribute server. Value: {'Name': 'x'}. Additional properties are not allowed ('Name' was unexpected)"},
		`{"server": {"b": 1, "a": 2}}`:                      {"server.a", "Invalid input for field/attribute server. Value: {'a': 2, 'b': 1}. Additional properties are not allowed ('a', 'b' were unexpected)"},
		`{"server": {}, "x": 1}`:                            {"x", "Additional properties are not allowed ('x' was unexpected)"},
		`{"server": {"Skip": "x"}}`:                         {"server.Skip", "Invalid input for field/attribute server. Value: {'Skip': 'x'}. Additional properties are not allowed ('Skip' was unexpected)"},
	} {
		var v serverBody
		err := request(t, "compute", "/", body).Decode(&v)
		var e *nephos.Error
		require.ErrorAs(t, err, &e, body)
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.Equal(t, want.message, e.Message, body)
		require.Equal(t, want.field, e.Field, body)
	}
	deep := strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100)
	type tree map[string]tree
	var v tree
	require.ErrorIs(t, request(t, "compute", "/", deep).Decode(&v), nephos.ErrInvalid)
}

func TestDecodeOpen(t *testing.T) {
	var v serverBody
	require.NoError(t, request(t, "compute", "/", `{"server": {"name": "vm", "scheduler": 1}, "hints": {}}`).DecodeOpen(&v))
	require.Equal(t, "vm", v.Server.Name)
	require.Error(t, request(t, "compute", "/", `{"server": {"NAME": "vm"}}`).DecodeOpen(&v))
}

func TestDecodeDialects(t *testing.T) {
	for service, want := range map[string][3]string{
		"network":   {"Body contains invalid data", "Invalid input for name. Reason: '1' is not a valid string.", "Unrecognized attribute(s) 'x, y'"},
		"identity":  {expecting("valid JSON", "request body"), "Invalid input for field 'server/name': 1 is not of type 'string'", "Invalid input for field 'server': Additional properties are not allowed ('x', 'y' were unexpected)"},
		"placement": {"Malformed JSON: unexpected end of the body", "JSON does not validate: 1 is not of type 'string'", "JSON does not validate: Additional properties are not allowed ('x', 'y' were unexpected)"},
	} {
		for i, body := range []string{`{`, `{"server":{"name":1}}`, `{"server":{"y":1,"x":1}}`} {
			var v serverBody
			err := request(t, service, "/", body, "Content-Type: application/json").Decode(&v)
			require.EqualError(t, err, want[i], service)
		}
	}
}

func TestContentType(t *testing.T) {
	for ct, ok := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "application/merge-patch+json": true,
		"text/plain": true, "application/x-www-form-urlencoded": false, ";;": false,
	} {
		var v map[string]any
		err := request(t, "compute", "/", `{}`, "Content-Type: "+ct).Decode(&v)
		if ok {
			require.NoError(t, err, ct)
			continue
		}
		require.Equal(t, 415, StatusOf("compute", err), ct)
		require.Equal(t, 400, StatusOf("identity", request(t, "identity", "/", `{}`, "Content-Type: "+ct).Decode(&v)))
		require.NoError(t, request(t, "network", "/", `{}`, "Content-Type: "+ct).Decode(&v))
	}
}

func TestAction(t *testing.T) {
	r := request(t, "compute", "/", `{"reboot": {"type": "SOFT"}}`)
	name, raw, err := r.Action()
	require.NoError(t, err)
	require.Equal(t, "reboot", name)
	var v struct {
		Type string `json:"type"`
	}
	require.NoError(t, r.DecodeValue(raw, "reboot", &v))
	require.Equal(t, "SOFT", v.Type)
	var e *nephos.Error
	require.ErrorAs(t, r.DecodeValue(json.RawMessage(`{"type":2}`), "reboot", &v), &e)
	require.Equal(t, "reboot.type", e.Field)

	name, raw, err = request(t, "compute", "/", `{"os-stop": null}`).Action()
	require.NoError(t, err)
	require.Equal(t, "os-stop null", name+" "+string(raw))
	for _, bad := range []string{``, `{}`, `[]`, `null`, `{"a":1,"b":2}`, `"a"`} {
		_, _, err := request(t, "compute", "/", bad).Action()
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"server":{"name":"a","min_count":"1"}}`, `{"server":null}`, `{"server":{"networks":[{"uuid":null}]}}`,
		`{"SERVER":{}}`, `{"server":{"user_data":"%%"}}`, `{"server":{"ratio":1e999}}`, `[[[[`, "{\"\\u0000\":\"\xff\"}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for service := range dialects {
			r := request(t, service, "/", s, "Content-Type: application/json")
			var v serverBody
			if err := r.Decode(&v); err != nil {
				var e *nephos.Error
				require.True(t, errors.As(err, &e) && errors.Is(err, nephos.ErrInvalid), "%v", err)
				require.NotEmpty(t, e.Field)
				require.Less(t, len(e.Message), 4096)
			} else {
				require.True(t, json.Valid([]byte(s)))
			}
			_, _, _ = r.Action()
		}
	})
}
