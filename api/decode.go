package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// maxProblems is how many fields of a body are complained about at once.
const maxProblems = 50

// decode reads the request's JSON object into the struct that v points to.
// What is no JSON object has status 400; fields that v does not have, or
// whose value is of another type, are all reported at once.
func (s *server) decode(w http.ResponseWriter, r *http.Request, v any) error {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || t != "application/json" {
		return withStatus(http.StatusUnsupportedMediaType, fairway.Invalid("Content-Type", r.Header.Get("Content-Type"), "is not the type of a JSON document", "send application/json"))
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.o.MaxBody))
	if err != nil {
		return bodyError(err)
	}
	return decodeObject(data, v)
}

// bodyError says why a request's body could not be read.
func bodyError(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return withStatus(http.StatusRequestEntityTooLarge, fairway.Invalid("body", "", fmt.Sprintf("is larger than %d bytes", big.Limit), "send less at once"))
	}
	return withStatus(http.StatusBadRequest, fairway.Errorf(fairway.KindInvalid, "the request's body broke off: %w", err))
}

func decodeObject(data []byte, v any) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil || raw == nil {
		return malformed(data, err)
	}
	fields := fieldsOf(v)
	known := strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
	var ps []fairway.Problem
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if len(ps) == maxProblems {
			ps = append(ps, fairway.Problem{Field: "body", Message: "has more problems", Remedy: "mend these first"})
			break
		}
		f, ok := fields[name]
		if !ok {
			ps = append(ps, fairway.Problem{Field: clip(name), Message: "is not a field of this request", Remedy: "use " + known})
			continue
		}
		if err := json.Unmarshal(raw[name], f.Addr().Interface()); err != nil {
			ps = append(ps, fairway.Problem{Field: name, Value: valueOf(f, raw[name]), Message: "is not " + describe(f.Type()), Remedy: "write " + describe(f.Type())})
		}
	}
	return fairway.InvalidAll(ps)
}

// valueOf is what an error shows of a field's value.
func valueOf(f reflect.Value, raw json.RawMessage) string {
	if t := f.Type(); t == reflect.TypeFor[fairway.Secret]() || t == reflect.TypeFor[map[string]fairway.Secret]() {
		return ""
	}
	return clip(string(raw))
}

// malformed says where data stops being a JSON object.
func malformed(data []byte, err error) error {
	p := fairway.Problem{Field: "body", Message: "is not a JSON object", Remedy: "send one object: {…}"}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before := data[:min(int(syntax.Offset), len(data))]
		p.Line = 1 + bytes.Count(before, []byte("\n"))
		p.Column = max(1, len(before)-1-bytes.LastIndexByte(before, '\n'))
		p.Message = "is not JSON: " + err.Error()
	}
	return withStatus(http.StatusBadRequest, fairway.InvalidAll([]fairway.Problem{p}))
}

// fieldsOf returns the fields of the struct that v points to by JSON name.
func fieldsOf(v any) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = s.Field(i)
	}
	return fields
}

// describe names a field's type in words.
func describe(t reflect.Type) string {
	if t == reflect.TypeFor[fairway.Weights]() {
		return `an object such as {"blue": 70, "green": 30}`
	}
	if t == reflect.TypeFor[map[string]fairway.Secret]() {
		return `an object such as {"X-Scope-OrgID": "shop"}`
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list of texts"
	case reflect.Map:
		return "an object with a path and base64 content for each file"
	}
	return "a text"
}

func clip(s string) string {
	if len(s) <= 120 {
		return s
	}
	return strings.ToValidUTF8(s[:120], "") + "…"
}

// fromPath takes a name from the path. A body may repeat it, but not
// contradict it.
func fromPath[T ~string](field string, v *T, path string) error {
	if *v != "" && string(*v) != path {
		return fairway.Invalid(field, string(*v), "is not the "+field+" of the address, "+strconv.Quote(path), "leave it out of the body")
	}
	*v = T(path)
	return nil
}
