package cloudevents

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fairwaycd/fairway"
)

const (
	newArtefact = `{"specversion":"0.2","type":"sh.keptn.events.new-artefact","id":"5f0c6a0e-8d0f-4a1a-9a55-3f5f3a1f2b11",
 "time":"2019-04-11T09:00:00+00:00","datacontenttype":"application/json",
 "shkeptncontext":"0e2b7f5c-7c3d-4c66-8a3a-2d5d3a0f9d10",
 "data":{"project":"bookshop","service":"orders","image":"10.0.0.9:5000/books/orders","tag":"2.1.0-7"}}`
	configurationChanged = `{"specversion":"0.2","type":"sh.keptn.events.configuration-changed","time":"2019-04-11T09:00:04+00:00",
 "datacontenttype":"application/json","shkeptncontext":"0e2b7f5c-7c3d-4c66-8a3a-2d5d3a0f9d10",
 "data":{"project":"bookshop","service":"orders","image":"10.0.0.9:5000/books/orders","tag":"2.1.0-7","stage":"staging",
         "githuborg":"acme-delivery","teststategy":"performance","deploymentstrategy":"blue_green_service"}}`
	testsFinished = `{"specversion":"0.2","type":"sh.keptn.events.tests-finished","source":"Jenkins","id":"1234","time":"20190411-09:14:31.123",
 "contenttype":"application/json","shkeptncontext":"0e2b7f5c-7c3d-4c66-8a3a-2d5d3a0f9d10",
 "data":{"githuborg":"acme-delivery","project":"bookshop","teststategy":"performance","deploymentstrategy":"blue_green_service",
         "stage":"staging","service":"orders","image":"10.0.0.9:5000/books/orders","tag":"2.1.0-7","startedat":"20190411-09:05:02.000"}}`
	evaluationDone = `{"specversion":"0.2","type":"sh.keptn.events.evaluation-done","id":"7a5f","time":"2019-04-11T09:14:33+00:00",
 "datacontenttype":"application/json","shkeptncontext":"0e2b7f5c-7c3d-4c66-8a3a-2d5d3a0f9d10",
 "data":{"githuborg":"acme-delivery","project":"bookshop","deploymentstrategy":"blue_green_service","stage":"staging",
         "service":"orders","image":"10.0.0.9:5000/books/orders","tag":"2.1.0-7","evaluationpassed":"false","attempt":"2","score":"45.5","weights":{"blue":"0","green":"100"}}}`
)

func one(t *testing.T, doc string) fairway.Event {
	t.Helper()
	events, err := Parse([]byte(doc))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	if len(events) != 1 {
		t.Fatalf("Parse: %d events", len(events))
	}
	return events[0]
}

func dataOf(t *testing.T, e fairway.Event) fairway.EventData {
	t.Helper()
	var data fairway.EventData
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatalf("data of %s: %v\n%s", e.Type, err, e.Data)
	}
	return data
}

func TestDocumentsOf02(t *testing.T) {
	t.Parallel()
	e := one(t, newArtefact)
	want := fairway.Event{
		SpecVersion: "1.0", ID: "5f0c6a0e-8d0f-4a1a-9a55-3f5f3a1f2b11", Source: "unknown",
		Type: fairway.TypeNewArtifact, Time: time.Date(2019, 4, 11, 9, 0, 0, 0, time.UTC),
		ContentType: "application/json", Context: "0e2b7f5c-7c3d-4c66-8a3a-2d5d3a0f9d10",
		Data: json.RawMessage(`{"project":"bookshop","service":"orders","image":"10.0.0.9:5000/books/orders","tag":"2.1.0-7"}`),
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}

	e = one(t, configurationChanged)
	if data := dataOf(t, e); data.TestStrategy != fairway.PerformanceTests || data.Stage != "staging" {
		t.Errorf("configuration-changed: %+v", data)
	}
	if strings.Contains(string(e.Data), "teststategy") || e.Source != "unknown" || !strings.HasPrefix(e.ID, "sha256-") {
		t.Errorf("configuration-changed: %+v %s", e, e.Data)
	}

	e = one(t, testsFinished)
	if want := time.Date(2019, 4, 11, 9, 14, 31, 123e6, time.UTC); !e.Time.Equal(want) {
		t.Errorf("tests-finished: time %v, want %v", e.Time, want)
	}
	if data := dataOf(t, e); data.StartedAt == nil || !data.StartedAt.Equal(time.Date(2019, 4, 11, 9, 5, 2, 0, time.UTC)) {
		t.Errorf("tests-finished: startedat %v", data.StartedAt)
	}
	if e.ID == "1234" || e.Source != "Jenkins" {
		t.Errorf("tests-finished: id %q of %q", e.ID, e.Source)
	}

	data := dataOf(t, one(t, evaluationDone))
	if data.EvaluationPassed == nil || *data.EvaluationPassed || data.Attempt != 2 || data.Score == nil || *data.Score != 45.5 || data.Weights[fairway.Green] != 100 {
		t.Errorf("evaluation-done: %+v", data)
	}
}

func TestDerivedIDs(t *testing.T) {
	t.Parallel()
	first, again := one(t, testsFinished).ID, one(t, testsFinished).ID
	if first != again {
		t.Error("a repetition has another id")
	}
	if other := one(t, strings.Replace(testsFinished, "2.1.0-7", "2.1.0-8", 1)).ID; other == first {
		t.Error("another event of Jenkins has the same id")
	}
	events, err := Parse([]byte("[ " + testsFinished + ",\n" + newArtefact + "]"))
	if err != nil || len(events) != 2 || events[0].ID != first {
		t.Errorf("in a batch: %v %+v", err, events)
	}
	spaced := new(bytes.Buffer)
	if err := json.Indent(spaced, []byte(testsFinished), "", "  "); err != nil {
		t.Fatal(err)
	}
	if id := one(t, spaced.String()).ID; id != first {
		t.Error("white space changes the id")
	}
	if id := one(t, strings.Replace(testsFinished, `"Jenkins"`, `"CI"`, 1)).ID; id != "1234" {
		t.Errorf("an id that somebody else gave became %q", id)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"0.3":            `{"specversion":"0.3","type":"t","id":"1","source":"/s","subject":"x","datacontentencoding":"base64","datacontenttype":"text/plain","data":"aGk="}`,
		"1.0":            `{"specversion":"1.0","type":"t","id":"1","source":"/s","subject":"x","datacontenttype":"text/plain","data_base64":"aGk="}`,
		"1.0 with nulls": "\ufeff" + ` {"specversion":"1.0","type":"t","id":"1","source":"/s","subject":"x","time":null,"traceparent":7,"datacontenttype":"text/plain","data":"hi"} `,
	} {
		e := one(t, doc)
		if string(e.Data) != `"hi"` || e.ID != "1" || e.Source != "/s" || e.Subject != "x" || e.SpecVersion != "1.0" || !e.Time.IsZero() {
			t.Errorf("%s: %+v %s", name, e, e.Data)
		}
	}
	if e := one(t, `{"specversion":"1.0","type":"t","id":"1","source":"/s","data_base64":"eyJhIjoxfQ=="}`); string(e.Data) != `{"a":1}` {
		t.Errorf("JSON in base64: %s", e.Data)
	}
	if e := one(t, `{"specversion":"1.0","type":"t","id":"1","source":"/s","datacontenttype":"image/png","data_base64":"/w=="}`); string(e.Data) != `{"data_base64":"/w=="}` {
		t.Errorf("bytes that are no text: %s", e.Data)
	}
	if e := one(t, `{"specversion":"1.0","type":"com.example.any","id":"1","source":"/s","data":{"teststategy":1, "attempt":"x"}}`); string(e.Data) != `{"teststategy":1, "attempt":"x"}` {
		t.Errorf("data of a type that is not ours was touched: %s", e.Data)
	}
}

func TestOurOwnEventsReadBack(t *testing.T) {
	t.Parallel()
	passed := true
	data, err := json.Marshal(fairway.EventData{Project: "sockshop", Service: "carts", Tag: "007", Attempt: 1, EvaluationPassed: &passed, Weights: map[fairway.Colour]int{fairway.Single: 100}})
	if err != nil {
		t.Fatal(err)
	}
	e := fairway.Event{SpecVersion: "1.0", ID: "a", Source: "fairway", Type: fairway.TypeEvaluationDone, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Subject: "s", ContentType: "application/json", Context: "d", Reason: "score 90 is above 80", Data: data}
	doc, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := one(t, string(doc)); !reflect.DeepEqual(got, e) {
		t.Errorf("got  %+v\nwant %+v", got, e)
	}
}

func TestTextKeepsItsSpelling(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{`1.0`: "1.0", `true`: "true", `"007"`: "007", `1e3`: "1e3"} {
		e := one(t, strings.Replace(newArtefact, `"2.1.0-7"`, written, 1))
		r, err := ArtifactOf(e)
		if err != nil || r.Artifact.Tag != want {
			t.Errorf("tag %s: %q, %v", written, r.Artifact.Tag, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	deep := `{"specversion":"1.0","type":"t","id":"1","source":"s","data":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}"
	tests := []struct {
		name, doc string
		line, col int
		field     string
		text      string
	}{
		{"empty", "  ", 0, 0, "", "empty"},
		{"no JSON", "{\n  \"a\": x}", 2, 8, "", "not JSON"},
		{"cut off", `{"specversion":"1.0"`, 1, 20, "", "not JSON"},
		{"two documents", "{}\n{}", 2, 1, "", "not JSON"},
		{"no object", `"event"`, 1, 1, "", "no JSON object"},
		{"not UTF-8", "{\"a\":\"é\xff\"}", 1, 8, "", "not UTF-8"},
		{"too deep", deep, 1, 125, "", "nested"},
		{"no version", `{"type":"t","id":"1","source":"s"}`, 1, 1, "specversion", "missing"},
		{"0.1", `{"specversion":"0.1","type":"t","id":"1","source":"s"}`, 1, 16, "specversion", "not a version"},
		{"no type", `{"specversion":"0.2"}`, 1, 1, "type", "missing"},
		{"no id", `{"specversion":"1.0","type":"t","source":"s"}`, 1, 1, "id", "missing"},
		{"empty source", `{"specversion":"0.3","type":"t","id":"1","source":""}`, 1, 51, "source", "missing"},
		{"number as id", "{\"specversion\":\"1.0\",\"type\":\"t\",\n\"id\":7,\"source\":\"s\"}", 2, 6, "id", "not text"},
		{"name twice", `{"specversion":"1.0","type":"t","id":"1","id":"2","source":"s"}`, 1, 47, "id", "twice"},
		{"time", `{"specversion":"1.0","type":"t","id":"1","source":"s","time":"yesterday"}`, 1, 62, "time", "not an instant"},
		{"context", `{"specversion":"1.0","type":"t","id":"1","source":"s","shkeptncontext":"../x"}`, 1, 72, "shkeptncontext", "id of a delivery"},
		{"control character", `{"specversion":"1.0","type":"t","id":"1\n","source":"s"}`, 1, 38, "id", "control character"},
		{"long", `{"specversion":"1.0","type":"t","id":"` + strings.Repeat("a", 3000) + `","source":"s"}`, 1, 38, "id", "3000 bytes"},
		{"base64", `{"specversion":"1.0","type":"t","id":"1","source":"s","data_base64":"?"}`, 1, 69, "data_base64", "base64"},
		{"two datas", `{"specversion":"1.0","type":"t","id":"1","source":"s","data":1,"data_base64":"aGk="}`, 1, 78, "data_base64", "beside"},
		{"passed", strings.Replace(evaluationDone, `"false"`, `"maybe"`, 1), 4, 101, "data.evaluationpassed", "neither"},
		{"attempt", strings.Replace(evaluationDone, `"2"`, `"two"`, 1), 4, 119, "data.attempt", "whole number"},
		{"colour", strings.Replace(evaluationDone, `"blue"`, `"red"`, 1), 4, 0, "data.weights", "no colour"},
		{"object as project", strings.Replace(newArtefact, `"bookshop"`, `{}`, 1), 4, 20, "data.project", "single value"},
		{"second of a batch", "[" + newArtefact + ",\n{\"specversion\":\"1.0\"}]", 5, 1, "id", "missing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			events, err := Parse([]byte(test.doc))
			if fairway.KindOf(err) != fairway.KindInvalid || events != nil {
				t.Fatalf("got %v, %v", events, err)
			}
			p := fairway.Problems(err)[0]
			if p.Line != test.line || test.col != 0 && p.Column != test.col || p.Field != test.field || !strings.Contains(p.Message, test.text) {
				t.Errorf("got %d:%d %q %q", p.Line, p.Column, p.Field, p.Message)
			}
		})
	}
}

func TestBatchesAreLimited(t *testing.T) {
	t.Parallel()
	doc := `{"specversion":"1.0","type":"t","id":"1","source":"s"}`
	if events, err := Parse([]byte("[]")); err != nil || len(events) != 0 {
		t.Errorf("an empty batch: %v, %v", events, err)
	}
	if events, err := Parse([]byte("[" + doc + strings.Repeat(","+doc, maxBatch-1) + "]")); err != nil || len(events) != maxBatch {
		t.Errorf("the largest batch: %d, %v", len(events), err)
	}
	if _, err := Parse([]byte("[" + doc + strings.Repeat(","+doc, maxBatch) + "]")); fairway.KindOf(err) != fairway.KindInvalid {
		t.Errorf("a larger batch: %v", err)
	}
}

func request(body string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/events", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestRead(t *testing.T) {
	t.Parallel()
	doc := `{"specversion":"1.0","type":"t","id":"1","source":"s"}`
	tests := []struct {
		name   string
		r      *http.Request
		events int
		text   string // of the error
	}{
		{"structured", request(doc, "Content-Type", "application/cloudevents+json; charset=UTF-8"), 1, ""},
		{"batched", request("["+doc+","+doc+"]", "Content-Type", BatchMediaType), 2, ""},
		{"plain JSON", request(doc, "Content-Type", "application/json"), 1, ""},
		{"no content type", request(doc), 1, ""},
		{"array as structured", request("["+doc+"]", "Content-Type", MediaType), 0, BatchMediaType},
		{"object as batch", request(doc, "Content-Type", BatchMediaType), 0, "array"},
		{"other format", request(doc, "Content-Type", "application/cloudevents+avro"), 0, "not read here"},
		{"other charset", request(doc, "Content-Type", MediaType+"; charset=latin1"), 0, "UTF-8"},
		{"form", request(doc, "Content-Type", "application/x-www-form-urlencoded"), 0, "no CloudEvent"},
		{"broken type", request(doc, "Content-Type", "a/b;;c"), 0, "media type"},
		{"packed", request(doc, "Content-Type", MediaType, "Content-Encoding", "gzip"), 0, "as it is"},
		{"too long", request(`{"a":"`+strings.Repeat("x", 500)+`"}`, "Content-Type", MediaType), 0, "longer than 400 bytes"},
		{"empty", request("", "Content-Type", MediaType), 0, "empty"},
		{"version 0.1", request("{}", "CE-CloudEventsVersion", "0.1", "CE-EventType", "t", "Content-Type", "application/json"), 0, "CE-CloudEventsVersion"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			events, err := Read(test.r, 400)
			if test.text == "" && (err != nil || len(events) != test.events) {
				t.Errorf("got %d events, %v", len(events), err)
			}
			if test.text != "" && (fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), test.text)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReadSaysWhenAServerCutsTheBodyOff(t *testing.T) {
	t.Parallel()
	r := request(`{"a":"`+strings.Repeat("x", 500)+`"}`, "Content-Type", MediaType)
	r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 100)
	if _, err := Read(r, 1<<20); fairway.KindOf(err) != fairway.KindInvalid || !strings.Contains(err.Error(), "100 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestBinary(t *testing.T) {
	t.Parallel()
	data := `{"project":"bookshop","service":"orders","image":"books/orders:1","teststategy":"functional"}`
	quoted := request(data, "ce-specversion", `"0.2"`, "ce-type", `"sh.keptn.events.new-artefact"`, "ce-time", `"2018-04-05T03:56:24Z"`, "Content-Type", "application/json")
	events, err := Read(quoted, 1000)
	if err != nil {
		t.Fatal(err)
	}
	e := events[0]
	if e.Type != fairway.TypeNewArtifact || e.Source != "unknown" || !strings.HasPrefix(e.ID, "sha256-") || e.Time.Year() != 2018 || dataOf(t, e).TestStrategy != fairway.FunctionalTests {
		t.Errorf("0.2: %+v %s", e, e.Data)
	}
	repeated, err := Read(request(data, "Content-Type", "application/json", "ce-time", `"2018-04-05T03:56:24Z"`, "ce-type", `"sh.keptn.events.new-artefact"`, "ce-specversion", `"0.2"`), 1000)
	if err != nil || repeated[0].ID != e.ID {
		t.Errorf("a repetition: %v %+v", err, repeated)
	}

	events, err = Read(request("hi", "ce-specversion", "1.0", "ce-type", "t", "ce-id", "1", "ce-source", "/caf%C3%A9", "ce-shkeptncontext", "d", "ce-traceparent", "x", "Content-Type", "text/plain"), 100)
	want := fairway.Event{SpecVersion: "1.0", ID: "1", Source: "/café", Type: "t", ContentType: "text/plain", Context: "d", Data: json.RawMessage(`"hi"`)}
	if err != nil || !reflect.DeepEqual(events[0], want) {
		t.Errorf("1.0: %v %+v", err, events)
	}
	events, err = Read(request("", "ce-specversion", "1.0", "ce-type", "t", "ce-id", "1", "ce-source", "s"), 100)
	if err != nil || events[0].Data != nil {
		t.Errorf("no data: %v %+v", err, events)
	}
	for name, r := range map[string]*http.Request{
		"data is no JSON":  request("{", "ce-specversion", "1.0", "ce-type", "t", "ce-id", "1", "ce-source", "s", "Content-Type", "application/json"),
		"id sent twice":    request("{}", "ce-specversion", "1.0", "ce-type", "t", "ce-id", "1", "ce-id", "2", "ce-source", "s"),
		"bad percent sign": request("{}", "ce-specversion", "1.0", "ce-type", "t", "ce-id", "%zz", "ce-source", "s"),
		"no source":        request("{}", "ce-specversion", "1.0", "ce-type", "t", "ce-id", "1"),
		"project wrong":    request(`{"project":[]}`, "ce-specversion", "1.0", "ce-type", fairway.TypeNewArtifact, "ce-id", "1", "ce-source", "s"),
	} {
		if events, err := Read(r, 100); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%s: %v, %v", name, events, err)
		}
	}
}

func TestArtifactOf(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	image := "10.0.0.9:5000/books/orders"
	tests := []struct {
		name, data string
		want       fairway.Artifact
		field      string // of the first problem
	}{
		{"tag beside", `"image":"` + image + `","tag":"1"`, fairway.Artifact{Image: image, Tag: "1"}, ""},
		{"tag in the image", `"image":"` + image + `:1"`, fairway.Artifact{Image: image, Tag: "1"}, ""},
		{"both, equal", `"image":"` + image + `:1","tag":"1"`, fairway.Artifact{Image: image, Tag: "1"}, ""},
		{"tag and digest", `"image":"` + image + `:1@` + digest + `"`, fairway.Artifact{Image: image, Tag: "1", Digest: digest}, ""},
		{"both, different", `"image":"` + image + `:1","tag":"2"`, fairway.Artifact{}, "data.tag"},
		{"digests, different", `"image":"` + image + `:1@` + digest + `","digest":"sha256:b"`, fairway.Artifact{}, "data.digest"},
		{"no tag", `"image":"` + image + `"`, fairway.Artifact{}, "data.tag"},
		{"digest alone", `"image":"` + image + `@` + digest + `"`, fairway.Artifact{}, "data.tag"},
		{"no image", `"tag":"1"`, fairway.Artifact{}, "data.image"},
		{"bad image", `"image":"a b","tag":"1"`, fairway.Artifact{}, "data.image"},
	}
	for _, test := range tests {
		e := fairway.Event{Type: fairway.TypeNewArtifact, Data: json.RawMessage(`{"project":"bookshop","service":"orders","stage":"dev",` + test.data + `}`)}
		r, err := ArtifactOf(e)
		if test.field == "" {
			want := Request{Project: "bookshop", Service: "orders", Stage: "dev", Artifact: test.want}
			if err != nil || r != want {
				t.Errorf("%s: %+v, %v", test.name, r, err)
			}
			continue
		}
		if ps := fairway.Problems(err); len(ps) == 0 || ps[0].Field != test.field {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	_, err := ArtifactOf(fairway.Event{Type: fairway.TypeNewArtifact, Data: json.RawMessage(`{"project":"Bookshop","stage":"main"}`)})
	var fields []string
	for _, p := range fairway.Problems(err) {
		fields = append(fields, p.Field)
	}
	if want := []string{"data.project", "data.service", "data.stage", "data.image"}; !reflect.DeepEqual(fields, want) {
		t.Errorf("all at once: %v", fields)
	}
	for _, e := range []fairway.Event{{Type: fairway.TypeProblem}, {Type: fairway.TypeNewArtifact}, {Type: fairway.TypeNewArtifact, Data: json.RawMessage(`[]`)}} {
		if _, err := ArtifactOf(e); fairway.KindOf(err) != fairway.KindInvalid {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, doc := range []string{newArtefact, configurationChanged, testsFinished, evaluationDone, "[" + newArtefact + "]",
		`{"specversion":"0.3","type":"t","id":"1","source":"/s","datacontentencoding":"base64","datacontenttype":"image/png","data":"/w=="}`,
		`{"specversion":"1.0","type":"t","id":"1","source":"s","time":"9999-12-31T23:59:59-01:00","data_base64":"e30="}`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := Parse(b)
		if err != nil {
			if fairway.KindOf(err) != fairway.KindInvalid || len(fairway.Problems(err)) == 0 || events != nil {
				t.Fatalf("error without a problem: %v", err)
			}
			return
		}
		for _, e := range events {
			if e.ID == "" || e.Source == "" || e.Type == "" || e.SpecVersion != "1.0" {
				t.Fatalf("incomplete: %+v", e)
			}
			doc, err := json.Marshal(e)
			if err != nil {
				t.Fatalf("%+v cannot be stored: %v", e, err)
			}
			if e.Time.IsZero() {
				continue // JSON writes it as year 1
			}
			again, err := Parse(doc)
			if err != nil || len(again) != 1 {
				t.Fatalf("%s does not read back: %v", doc, err)
			}
			if r, err := ArtifactOf(again[0]); err == nil && r.Artifact.Validate() != nil {
				t.Fatalf("invalid artifact accepted: %+v", r)
			}
		}
	})
}

func FuzzBinary(f *testing.F) {
	f.Add("0.2", `"t"`, "1", []byte("{}"), "application/json")
	f.Add("1.0", "a%20b", "%zz", []byte("\xff"), "text/plain")
	f.Fuzz(func(t *testing.T, version, typ, id string, body []byte, contentType string) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header = http.Header{"Ce-Specversion": {version}, "Ce-Type": {typ}, "Ce-Id": {id}, "Ce-Source": {"s"}, "Content-Type": {contentType}}
		events, err := Read(r, 1<<16)
		if err != nil {
			if fairway.KindOf(err) != fairway.KindInvalid {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, e := range events {
			if _, err := json.Marshal(e); err != nil {
				t.Fatalf("%+v cannot be stored: %v", e, err)
			}
		}
	})
}
