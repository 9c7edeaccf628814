package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/fairwaycd/fairway"
)

var update = flag.Bool("update", false, "write openapi.json")

// TestDocument keeps openapi.json in step with the operations, types and
// comments.
func TestDocument(t *testing.T) {
	t.Parallel()
	want := madeDocument(t)
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		document = want
	}
	if !bytes.Equal(document, want) {
		t.Error("openapi.json is not what the types and operations_test.go say; run: go test ./api -update")
	}
}

// object is a JSON object under construction.
type object map[string]any

// maker makes the OpenAPI document.
type maker struct {
	schemas  object
	types    map[string]reflect.Type
	comments map[string]string
	reflect  jsonschema.Reflector
}

func madeDocument(t *testing.T) []byte {
	t.Helper()
	m := &maker{schemas: object{}, types: map[string]reflect.Type{}, comments: map[string]string{}}
	m.reflect = jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true, Mapper: mapped, Namer: m.name, LookupComment: func(of reflect.Type, field string) string {
		return m.comments[strings.TrimSuffix(of.PkgPath()+"."+of.Name()+"."+field, ".")]
	}}
	m.comment(t, "github.com/fairwaycd/fairway", "../*.go")
	m.comment(t, "github.com/fairwaycd/fairway/api", "*.go")
	m.comment(t, "github.com/fairwaycd/fairway/dora", "../dora/*.go")
	paths := object{}
	for _, o := range operations {
		p := "/" + strings.TrimPrefix(Prefix, "/") + pathOf(o.path)
		if paths[p] == nil {
			paths[p] = object{}
		}
		if paths[p].(object)[strings.ToLower(o.method)] != nil {
			t.Errorf("operations has two lines for %s %s", o.method, o.path)
		}
		paths[p].(object)[strings.ToLower(o.method)] = m.operation(o)
	}
	problem := object{"description": "A refusal.", "content": object{problemType: object{"schema": m.schema(Details{})}},
		"headers": object{"Retry-After": object{"description": "Seconds to wait before the next attempt, with 503 and 507.", "schema": object{"type": "integer"}}}}
	doc := object{
		"openapi": "3.1.0",
		"info": object{"title": "Fairway", "version": "1", "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Lists come in pages: `limit` bounds one, and `next` of an answer is the `cursor` of the next request. Every refusal is a problem document (RFC 9457). " +
				"Answers to GET have an ETag: send it as If-None-Match to be answered 304 while nothing has changed, and as If-Match with PUT or DELETE of the same address to be refused (412) when somebody else was first. " +
				"Send an Idempotency-Key with a POST that may have to be repeated."},
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"bearer": []any{}}, object{"basic": []any{}}},
		"tags":     tags(),
		"paths":    paths,
		"components": object{
			"schemas":   m.schemas,
			"responses": object{"Problem": problem},
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "description": "The token that lies in the data directory."},
				"basic":  object{"type": "http", "scheme": "basic", "description": "The token as the password, with any user name, which events then tell."},
			},
		},
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tags() (all []any) {
	var seen []string
	for _, o := range operations {
		if !slices.Contains(seen, o.tag) {
			seen = append(seen, o.tag)
			all = append(all, object{"name": o.tag})
		}
	}
	return all
}

// pathOf is a route's path as the document has it.
func pathOf(route string) string {
	return strings.NewReplacer("...", "", "{s}", "{service}", "{k}", "{kind}").Replace(route)
}

var inPath = regexp.MustCompile(`\{([a-z]+)\}`)

func (m *maker) operation(o operation) object {
	words := regexp.MustCompile(`[a-z]+`).FindAllString(strings.ToLower(o.method)+" "+o.path, -1)
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	op := object{"operationId": strings.Join(words, ""), "tags": []any{o.tag}, "summary": strings.ToUpper(o.summary[:1]) + o.summary[1:]}
	var ps []any
	for _, n := range inPath.FindAllStringSubmatch(pathOf(o.path), -1) {
		ps = append(ps, object{"name": n[1], "in": "path", "required": true, "description": parameters[n[1]].text, "schema": object{"type": "string"}})
	}
	for _, n := range strings.Fields(o.query) {
		about, own := parameters[o.path+" "+n]
		if !own {
			about = parameters[n]
		}
		kind := about.kind
		s := object{"type": cmpOr(kind, "string")}
		if kind == "integer" {
			s["minimum"] = 0
		}
		ps = append(ps, object{"name": n, "in": "query", "description": about.text, "schema": s})
	}
	header := func(name, text string) {
		ps = append(ps, object{"name": name, "in": "header", "description": text, "schema": object{"type": "string"}})
	}
	switch {
	case o.path == "watch":
		header("Last-Event-ID", "Number of the last event that was received: what was missed comes first.")
	case o.method == "GET" && o.plain == nil:
		header("If-None-Match", "An earlier answer's ETag: 304 while nothing has changed.")
	case o.method == "PUT" && guardedRoute(o):
		header("If-Match", "ETag of a GET of this address: 412 when somebody else has changed it since.")
	case o.method == "DELETE" && strings.Contains(o.query, "dryRun"):
		header("If-Match", "ETag of a dry run: 409 when something else would go by now.")
	case o.method == "DELETE" && guardedRoute(o):
		header("If-Match", "ETag of a GET of this address: 412 when somebody else has changed it since.")
	case o.method == "POST":
		header("Idempotency-Key", "A text of your own, at most 255 characters: a repetition within a day is answered as the first request was, and changes nothing. Another request under the same key is refused (422).")
	}
	if len(ps) > 0 {
		op["parameters"] = ps
	}
	if o.body != nil {
		op["requestBody"] = m.body(o)
	}
	op["responses"] = m.responses(o)
	return op
}

// guardedRoute reports whether If-Match is looked at.
func guardedRoute(o operation) bool {
	return slices.ContainsFunc(operations, func(g operation) bool { return g.path == o.path && g.method == "GET" }) && !slices.Contains(unguarded, o.path) && !slices.Contains(unguarded, o.method+" "+o.path)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (m *maker) body(o operation) object {
	if o.path == "events" {
		s := m.schema(o.body)
		return object{"required": true, "content": object{
			"application/cloudevents+json":       object{"schema": s},
			"application/cloudevents-batch+json": object{"schema": object{"type": "array", "items": s}},
			"application/json":                   object{"schema": object{}},
		}, "description": "Events in structured or batched mode; in binary mode the body is the event's data, and its attributes are headers."}
	}
	s := m.schema(o.body)
	name := reflect.TypeOf(o.body).Name()
	sch := m.schemas[name].(*jsonschema.Schema)
	sch.AdditionalProperties = jsonschema.FalseSchema
	// What the path says need not stand in the body.
	sch.Required = slices.DeleteFunc(sch.Required, func(f string) bool {
		return slices.Contains([]string{"project", "service", "delivery", "evaluation", "kind", "name"}, f) && !(f == "name" && o.path == "projects") && !(f == "service" && o.path == "projects/{project}/services")
	})
	return object{"required": true, "content": object{"application/json": object{"schema": s}}}
}

func (m *maker) responses(o operation) object {
	all := object{"default": object{"$ref": "#/components/responses/Problem"}}
	headers := object{}
	if o.method == "GET" && o.plain == nil {
		headers["ETag"] = object{"description": "Changes with the answer.", "schema": object{"type": "string"}}
		all["304"] = object{"description": "Nothing has changed since the answer with the ETag in If-None-Match."}
	}
	for status, v := range o.answers {
		r := object{"description": describeStatus(status), "content": object{"application/json": object{"schema": m.answer(v)}}}
		if len(headers) > 0 {
			r["headers"] = headers
		}
		if status == 201 {
			r["headers"] = object{"Location": object{"description": "Address of what was made.", "schema": object{"type": "string"}}}
		}
		all[strconv.Itoa(status)] = r
	}
	for status, kind := range o.plain {
		s := object{"type": "string"}
		text := "Text, as it comes."
		if o.path == "watch" {
			text = "Events named `change`, whose data is a Change as JSON, and whose id is the number of its last event."
			m.schema(Change{})
		}
		all[strconv.Itoa(status)] = object{"description": text, "content": object{kind: object{"schema": s}}}
	}
	return all
}

func describeStatus(status int) string {
	return map[int]string{200: "Done.", 201: "Stored.", 202: "Stored; it goes on."}[status]
}

// answer is the schema of what a handler answers.
func (m *maker) answer(v any) any {
	list, ok := v.(listed)
	if !ok {
		return m.schema(v)
	}
	properties := object{"items": object{"type": "array", "items": m.schema(list.of)}}
	if list.paged {
		properties["next"] = object{"type": "string", "description": "The cursor of the next page; absent on the last one."}
		properties["total"] = object{"type": "integer", "description": "How many items there are on all pages; not every list counts them."}
	}
	return object{"type": "object", "properties": properties, "required": []any{"items"}}
}

// mapped gives types that JSON shows otherwise than Go.
func mapped(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[fairway.Secret]():
		return &jsonschema.Schema{Type: "string", WriteOnly: true}
	case reflect.TypeFor[fairway.Weights]():
		return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "integer"}, Description: "Percent of the traffic by colour: blue and green, or the one of a direct stage."}
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{}
	}
	known := map[reflect.Type][]any{
		reflect.TypeFor[fairway.DeliveryStatus]():    {"running", "waiting", "finished", "failed", "rejected", "superseded", "aborted"},
		reflect.TypeFor[fairway.Verdict]():           {"pass", "warning", "fail", "error", "not_judged"},
		reflect.TypeFor[fairway.Kind]():              {"invalid", "not_found", "conflict", "refused", "unauthorized", "unavailable", "full", "internal"},
		reflect.TypeFor[fairway.Colour]():            {"blue", "green"},
		reflect.TypeFor[fairway.Step]():              {"queue", "configure", "deploy", "test", "evaluate", "approve", "release", "rollback", "retire", "done"},
		reflect.TypeFor[fairway.UpstreamCondition](): {"in step", "ahead", "behind", "diverged", "unreachable"},
	}
	if examples, ok := known[t]; ok {
		return &jsonschema.Schema{Type: "string", Examples: examples}
	}
	return nil
}

func (m *maker) name(t reflect.Type) string {
	if t.Kind() == reflect.Struct {
		if other := m.types[t.Name()]; other != nil && other != t {
			panic("the document would have two schemas of the name " + t.Name() + ": rename a type, or name one by its package here")
		}
		m.types[t.Name()] = t
	}
	return t.Name()
}

// schema returns a reference to the schema of v's type, which it adds to the
// components with all that it needs.
func (m *maker) schema(v any) any {
	t := reflect.TypeOf(v)
	if t == reflect.TypeFor[json.RawMessage]() {
		return object{"type": "object"}
	}
	s := m.reflect.ReflectFromType(t)
	for name, d := range s.Definitions {
		if m.schemas[name] == nil {
			m.schemas[name] = d
			m.finish(name, d)
		}
	}
	return object{"$ref": "#/components/schemas/" + t.Name()}
}

var ref = regexp.MustCompile(`^#/\$defs/`)

// finish makes a definition one of OpenAPI: references lead to the components,
// and lists that Go leaves empty may be null.
func (m *maker) finish(name string, s *jsonschema.Schema) {
	walk(s, func(s *jsonschema.Schema) { s.Ref = ref.ReplaceAllString(s.Ref, "#/components/schemas/") })
	t := m.types[name]
	if t == nil || s.Properties == nil {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		json, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		p, ok := s.Properties.Get(json)
		if !ok || f.Type.Kind() != reflect.Slice && f.Type.Kind() != reflect.Map || strings.Contains(options, "omit") || p.Type == "" {
			continue
		}
		s.Properties.Set(json, &jsonschema.Schema{Description: p.Description, AnyOf: []*jsonschema.Schema{p, {Type: "null"}}})
		p.Description = ""
	}
}

func walk(s *jsonschema.Schema, f func(*jsonschema.Schema)) {
	if s == nil {
		return
	}
	f(s)
	if s.Properties != nil {
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			walk(p.Value, f)
		}
	}
	for _, sub := range s.PatternProperties {
		walk(sub, f)
	}
	walk(s.Items, f)
	walk(s.AdditionalProperties, f)
	for _, sub := range slices.Concat(s.AnyOf, s.AllOf, s.OneOf) {
		walk(sub, f)
	}
}

// comment reads the comments of types and fields.
func (m *maker) comment(t *testing.T, path, files string) {
	t.Helper()
	names, err := filepath.Glob(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok {
					m.commentType(path, ts, cmpOr(ts.Doc.Text(), g.Doc.Text()))
				}
			}
		}
	}
}

func (m *maker) commentType(path string, ts *ast.TypeSpec, doc string) {
	key := path + "." + ts.Name.Name
	m.comments[key] = plain(doc)
	s, ok := ts.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range s.Fields.List {
		for _, n := range f.Names {
			m.comments[key+"."+n.Name] = plain(cmpOr(f.Doc.Text(), f.Comment.Text()))
		}
	}
}

var link = regexp.MustCompile(`\[([A-Za-z.]+)\]`)

// plain is a comment on one line, without the marks of Go's documentation.
func plain(text string) string {
	return link.ReplaceAllString(strings.Join(strings.Fields(text), " "), "$1")
}
