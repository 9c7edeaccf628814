package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/fairwaycd/fairway/api"
	"github.com/fairwaycd/fairway/cloudevents"
)

// specification reads the document with a reader that knows OpenAPI 3.1.
func specification(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentIsOpenAPI(t *testing.T) {
	t.Parallel()
	doc := specification(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Summary == "" || op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: summary %q, id %q", method, path, op.Summary, op.OperationID)
			}
			ids[op.OperationID] = true
			for _, p := range op.Parameters {
				if p.Value.Description == "" {
					t.Errorf("%s %s: parameter %s is not explained", method, path, p.Value.Name)
				}
			}
		}
	}
}

// inDocument is a route's path as the document has it.
func inDocument(route string) string {
	return api.Prefix + strings.NewReplacer("...", "", "{s}", "{service}", "{k}", "{kind}").Replace(route)
}

func TestDocumentHasEveryRoute(t *testing.T) {
	t.Parallel()
	doc := specification(t)
	offered := map[string]bool{}
	for route, names := range api.Routes() {
		for _, method := range names {
			if method == http.MethodHead {
				continue
			}
			path := inDocument(route)
			offered[method+" "+path] = true
			if item := doc.Paths.Find(path); item == nil || item.GetOperation(method) == nil {
				t.Errorf("the document has no %s %s: add it to operations_test.go, and run: go test ./api -update", method, path)
			}
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !offered[method+" "+path] {
				t.Errorf("%s %s is in the document, and no server offers it", method, path)
			}
		}
	}
}

var (
	placeholder = regexp.MustCompile(`\{[a-z.]+\}`)
	listedNames = regexp.MustCompile(`^use ([\w, ]+)$`)
)

// refusedNames asks for what cannot be there, and returns the names that the
// refusal lists.
func refusedNames(t *testing.T, h http.Handler, method, target, body string) (names []string) {
	t.Helper()
	kind := ""
	if body != "" {
		kind = "application/json"
	}
	w := exchange(h, method, target, kind, body)
	var d api.Details
	_ = json.Unmarshal(w.Body.Bytes(), &d)
	for _, p := range d.Problems {
		if m := listedNames.FindStringSubmatch(p.Remedy); m != nil && p.Field == "zz" {
			names = strings.Split(m[1], ", ")
		}
	}
	slices.Sort(names)
	return names
}

// Every parameter and every field that the server takes is in the document,
// and no other.
func TestDocumentHasEveryParameterAndField(t *testing.T) {
	t.Parallel()
	h := api.NewServer(newMemory(), api.ServerOptions{ReadEvents: cloudevents.Read})
	doc := specification(t)
	for route, methods := range api.Routes() {
		path := inDocument(route)
		target := api.Prefix + placeholder.ReplaceAllString(route, "x")
		for _, method := range methods {
			item := doc.Paths.Find(path)
			if item == nil || item.GetOperation(method) == nil || method == http.MethodHead {
				continue // which another test tells
			}
			op := item.GetOperation(method)
			var described []string
			for _, p := range op.Parameters {
				if p.Value.In == "query" {
					described = append(described, p.Value.Name)
				}
			}
			slices.Sort(described)
			if op.RequestBody == nil && method != http.MethodPost {
				if taken := refusedNames(t, h, method, target+"?zz=1", ""); !slices.Equal(taken, described) {
					t.Errorf("%s %s takes the parameters %v, the document has %v", method, path, taken, described)
				}
				continue
			}
			if op.RequestBody == nil || route == "events" {
				continue
			}
			fields := slices.Sorted(maps.Keys(op.RequestBody.Value.Content["application/json"].Schema.Value.Properties))
			if taken := refusedNames(t, h, method, target, `{"zz":1}`); !slices.Equal(taken, fields) {
				t.Errorf("%s %s takes the fields %v, the document has %v", method, path, taken, fields)
			}
		}
	}
}

// checked holds what goes through h against the document.
func checked(t *testing.T, h http.Handler) http.Handler {
	doc := specification(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c := &copied{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(c, r)
		path := inDocument(strings.TrimPrefix(r.Pattern, api.Prefix))
		item := doc.Paths.Find(path)
		if item == nil || item.GetOperation(r.Method) == nil {
			t.Errorf("%s %s (%s) is not in the document", r.Method, r.URL, path)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		values := map[string]string{}
		for _, name := range placeholder.FindAllString(path, -1) {
			values[strings.Trim(name, "{}")] = "x"
		}
		options := &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
		asked := &openapi3filter.RequestValidationInput{Request: r, PathParams: values, Options: options,
			Route: &routers.Route{Spec: doc, Path: path, PathItem: item, Method: r.Method, Operation: item.GetOperation(r.Method)}}
		if c.status < 300 {
			if err := openapi3filter.ValidateRequest(r.Context(), asked); err != nil {
				t.Errorf("%s %s: the request is not as the document says: %v", r.Method, path, err)
			}
		}
		if strings.HasPrefix(c.Header().Get("Content-Type"), "text/") || c.status == http.StatusNotModified {
			return
		}
		if err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: asked, Status: c.status, Header: c.Header(), Body: io.NopCloser(&c.body), Options: options,
		}); err != nil {
			t.Errorf("%s %s: answer %d is not as the document says: %v", r.Method, path, c.status, err)
		}
		if err := known(item.GetOperation(r.Method), c); err != "" {
			t.Errorf("%s %s: %s", r.Method, path, err)
		}
	})
}

// known says which field of an answer the document does not have.
func known(op *openapi3.Operation, c *copied) string {
	r := op.Responses.Status(c.status)
	if r == nil || r.Value.Content["application/json"] == nil {
		return ""
	}
	var v any
	if json.Unmarshal(c.kept, &v) != nil {
		return ""
	}
	return unknownIn(r.Value.Content["application/json"].Schema.Value, v, "")
}

func unknownIn(s *openapi3.Schema, v any, at string) string {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			p := s.Properties[k]
			switch {
			case p != nil:
				for _, sub := range p.Value.AnyOf {
					if sub.Value.Type != nil && !sub.Value.Type.Is("null") {
						p = sub
					}
				}
				if text := unknownIn(p.Value, x, at+"."+k); text != "" {
					return text
				}
			case len(s.Properties) > 0:
				return "the document does not have " + at + "." + k
			}
		}
	case []any:
		for _, x := range v {
			if s.Items == nil {
				return ""
			}
			if text := unknownIn(s.Items.Value, x, at+"[]"); text != "" {
				return text
			}
		}
	}
	return ""
}

// copied keeps a copy of an answer.
type copied struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	kept   []byte
}

func (c *copied) WriteHeader(status int) { c.status = status; c.ResponseWriter.WriteHeader(status) }

func (c *copied) Write(b []byte) (int, error) {
	c.body.Write(b)
	c.kept = append(c.kept, b...)
	return c.ResponseWriter.Write(b)
}

func (c *copied) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	w := exchange(api.NewServer(newMemory(), api.ServerOptions{}), http.MethodGet, "/api/v1/openapi.json", "", "")
	var served, embedded bytes.Buffer
	if json.Compact(&served, w.Body.Bytes()) != nil || json.Compact(&embedded, api.OpenAPI()) != nil || served.String() != embedded.String() {
		t.Errorf("status %d; what is served is not the document", w.Code)
	}
}
