package cloudevents

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fairwaycd/fairway"
)

// The versions of the specification that are read.
const (
	v02 = "0.2"
	v03 = "0.3"
	v10 = "1.0"
)

// maxAttribute is the longest attribute in bytes. The specification asks
// receivers to forward events of 64 KB; none of its attributes is prose.
const maxAttribute = 2048

// attribute is a context attribute's text and where it stands.
type attribute struct {
	text string
	at   int
}

// envelope is an event before its attributes are checked, the same for all
// modes.
type envelope struct {
	attributes map[string]attribute
	data       value  // JSON; raw is nil when there is none
	content    []byte // all of the event, the same for a repetition
	at         int    // where it begins
}

// known are the attributes that [fairway.Event] keeps. Other extensions are
// let go.
var known = map[string]bool{
	"specversion": true, "id": true, "source": true, "type": true, "time": true, "subject": true,
	"datacontenttype": true, "contenttype": true, "datacontentencoding": true, "data_base64": true,
	"shkeptncontext": true, "reason": true,
}

// structured reads an event in the JSON event format.
func (d *document) structured(v value) (fairway.Event, bool) {
	if !v.is('{') {
		d.add(v.at, fairway.Problem{Message: "is not a CloudEvent: it is no JSON object", Remedy: `write {"specversion": "1.0", "type": …}`})
		return fairway.Event{}, false
	}
	before := len(d.problems)
	env := envelope{attributes: map[string]attribute{}, at: v.at}
	for name, m := range d.members(v) {
		if m.isNull() || !known[name] && name != "data" {
			continue
		}
		if name == "data" {
			env.data = m
			continue
		}
		var s string
		if err := json.Unmarshal(m.raw, &s); err != nil {
			d.add(m.at, fairway.Problem{Field: name, Value: string(m.raw), Message: "is not text", Remedy: "put it into quotes"})
			continue
		}
		env.attributes[name] = attribute{text: s, at: m.at}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, v.raw); err == nil {
		env.content = compact.Bytes()
	}
	if len(d.problems) > before {
		return fairway.Event{}, false
	}
	d.decodeBase64(&env)
	e := d.event(env)
	return e, len(d.problems) == before
}

// decodeBase64 replaces data that was sent as base64 by what it stands for.
func (d *document) decodeBase64(env *envelope) {
	coded, ok := env.attributes["data_base64"]
	if encoding, has := env.attributes["datacontentencoding"]; has && strings.EqualFold(encoding.text, "base64") && env.data.is('"') {
		ok = true
		coded.at = env.data.at
		if err := json.Unmarshal(env.data.raw, &coded.text); err != nil {
			ok = false
		}
		env.data = value{}
	}
	if !ok {
		return
	}
	if env.data.raw != nil {
		d.add(coded.at, fairway.Problem{Field: "data_base64", Message: "stands beside data", Remedy: "send one of them"})
		return
	}
	b, err := base64.StdEncoding.DecodeString(coded.text)
	if err != nil {
		d.add(coded.at, fairway.Problem{Field: "data_base64", Message: "is not base64: " + err.Error(), Remedy: "encode the data by RFC 4648 section 4"})
		return
	}
	env.data = value{raw: d.payload(env.contentType(), b), at: -1}
}

func (env envelope) contentType() string {
	for _, name := range []string{"datacontenttype", "contenttype"} {
		if a := env.attributes[name]; a.text != "" {
			return a.text
		}
	}
	return "application/json"
}

func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		t = strings.TrimSpace(contentType)
	}
	return t == "application/json" || t == "text/json" || strings.HasSuffix(t, "+json")
}

// payload returns b as JSON: itself, or text as a string, or anything else as
// {"data_base64": …}.
func (d *document) payload(contentType string, b []byte) json.RawMessage {
	if len(b) == 0 {
		return nil
	}
	if isJSON(contentType) {
		inner, err := open(b)
		if err != nil {
			for _, p := range inner.problems {
				p.Field = "data"
				d.problems = append(d.problems, p)
			}
			return nil
		}
		return inner.root().raw
	}
	var v any = map[string][]byte{"data_base64": b}
	if utf8.Valid(b) {
		v = string(b)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		d.add(-1, fairway.Problem{Field: "data", Message: "cannot be kept as JSON: " + err.Error()})
	}
	return raw
}

// event checks the attributes and builds the event. Problems are noted in d.
func (d *document) event(env envelope) fairway.Event {
	e := fairway.Event{SpecVersion: v10}
	version := d.require(env, "specversion", `write "specversion": "1.0"`)
	switch version {
	case v02, v03, v10, "":
	default:
		d.add(env.attributes["specversion"].at, fairway.Problem{Field: "specversion", Value: version, Message: "is not a version of CloudEvents that is read here", Remedy: "send 1.0, 0.3 or 0.2"})
	}
	e.Type = canonicalType(d.require(env, "type", "name what happened, e.g. "+fairway.TypeNewArtifact))
	d.identify(&e, env, version)
	if a := d.attr(env, "time"); a.text != "" {
		t, err := parseTime(a.text)
		if err != nil {
			d.add(a.at, fairway.Problem{Field: "time", Value: a.text, Message: "is not an instant", Remedy: timeRemedy})
		}
		e.Time = t
	}
	e.Subject = d.attr(env, "subject").text
	e.Reason = d.attr(env, "reason").text
	if a := d.attr(env, "shkeptncontext"); a.text != "" {
		if !contextPattern.MatchString(a.text) {
			d.add(a.at, fairway.Problem{Field: "shkeptncontext", Value: a.text, Message: "cannot be the id of a delivery", Remedy: "use 1 to 128 letters, digits, underscores, hyphens, dots and colons, not starting with a dot; or leave it out and one is made"})
		}
		e.Context = fairway.DeliveryID(a.text)
	}
	d.attr(env, "datacontenttype")
	d.attr(env, "contenttype")
	e.Data = env.data.raw
	if e.Data != nil {
		e.ContentType = env.contentType()
		if isDeliveryType(e.Type) && env.data.is('{') {
			e.Data = d.normalise(env.data)
		}
	}
	return e
}

var contextPattern = regexp.MustCompile(`^[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}$`)

// identify sets id and source, which together must be unique to the event.
func (d *document) identify(e *fairway.Event, env envelope, version string) {
	if version == v02 {
		e.ID, e.Source = d.attr(env, "id").text, d.attr(env, "source").text
		if e.ID == "" || e.Source == "Jenkins" { // its id is the constant 1234
			sum := sha256.Sum256(env.content)
			e.ID = "sha256-" + hex.EncodeToString(sum[:16])
		}
		if e.Source == "" {
			e.Source = "unknown"
		}
		return
	}
	e.ID = d.require(env, "id", "give each event an id of its own, the same when it is sent again")
	e.Source = d.require(env, "source", "name the sender, e.g. the job's address")
}

func (d *document) require(env envelope, name, remedy string) string {
	a := d.attr(env, name)
	if a.text == "" {
		at := env.at
		if given, ok := env.attributes[name]; ok {
			at = given.at
		}
		d.add(at, fairway.Problem{Field: name, Message: "is missing", Remedy: remedy})
	}
	return a.text
}

// attr returns the attribute, which is short and prints as it is.
func (d *document) attr(env envelope, name string) attribute {
	a, ok := env.attributes[name]
	if !ok {
		return attribute{}
	}
	if len(a.text) > maxAttribute {
		d.add(a.at, fairway.Problem{Field: name, Message: fmt.Sprintf("is %d bytes long", len(a.text)), Remedy: fmt.Sprintf("use at most %d", maxAttribute)})
	}
	if i := strings.IndexFunc(a.text, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }); i >= 0 {
		d.add(a.at, fairway.Problem{Field: name, Message: fmt.Sprintf("has a control character or no character at byte %d", i+1), Remedy: "remove it"})
	}
	return a
}

// canonicalType gives the spelling of today.
func canonicalType(t string) string {
	if t == "sh.keptn.events.new-artefact" {
		return fairway.TypeNewArtifact
	}
	return t
}
