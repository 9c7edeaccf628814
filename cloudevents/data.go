package cloudevents

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// kind is what a field of a delivery's event holds.
type kind int

const (
	asText kind = iota
	asInteger
	asNumber
	asBool
	asTime
	asWeights
)

// fields are the fields of [fairway.EventData] and what they hold. A sender
// that knows only strings means the same.
var fields = map[string]kind{
	"project": asText, "service": asText, "stage": asText, "image": asText, "tag": asText, "digest": asText,
	"deploymentstrategy": asText, "teststrategy": asText, "slot": asText, "commit": asText,
	"evaluationid": asText, "result": asText, "actor": asText, "githuborg": asText,
	"attempt": asInteger, "score": asNumber, "evaluationpassed": asBool,
	"startedat": asTime, "finishedat": asTime, "weights": asWeights,
}

// isDeliveryType reports whether events of the type carry
// [fairway.EventData] under the field's own names.
func isDeliveryType(t string) bool {
	switch t {
	case fairway.TypeNewArtifact, fairway.TypeConfigurationChanged, fairway.TypeDeploymentFinished,
		fairway.TypeTestsFinished, fairway.TypeEvaluationDone:
		return true
	}
	return false
}

// normalise returns the data object with every known field under its name of
// today and in its own type. What was right already stays byte for byte.
func (d *document) normalise(data value) json.RawMessage {
	members := d.members(data)
	changed := false
	if old, ok := members["teststategy"]; ok {
		if v, both := members["teststrategy"]; !both || v.isNull() || string(v.raw) == `""` {
			members["teststrategy"] = old
		}
		delete(members, "teststategy")
		changed = true
	}
	for name, kind := range fields {
		v, ok := members[name]
		if !ok {
			continue
		}
		raw := d.convert(name, kind, v)
		if string(raw) == string(v.raw) {
			continue
		}
		changed = true
		if raw == nil {
			delete(members, name)
		} else {
			members[name] = value{raw: raw, at: v.at}
		}
	}
	if !changed {
		return data.raw
	}
	out := make(map[string]json.RawMessage, len(members))
	for name, v := range members {
		out[name] = v.raw
	}
	raw, err := json.Marshal(out)
	if err != nil {
		d.add(data.at, fairway.Problem{Field: "data", Message: "cannot be encoded: " + err.Error()})
	}
	return raw
}

// convert returns v as the kind wants it; nil means that it says nothing.
func (d *document) convert(name string, k kind, v value) json.RawMessage {
	if v.isNull() {
		return nil
	}
	if k == asWeights {
		return d.weights(name, v)
	}
	if v.is('{') || v.is('[') {
		d.wrong(name, v, "is not a single value", "send text")
		return v.raw
	}
	if k == asText {
		if v.is('"') {
			return v.raw
		}
		return json.RawMessage(strconv.Quote(string(v.raw))) // a number's or true's own spelling
	}
	text := string(v.raw)
	if v.is('"') {
		if err := json.Unmarshal(v.raw, &text); err != nil {
			d.wrong(name, v, "is not text", "send text")
		}
		if text = strings.TrimSpace(text); text == "" {
			return nil
		}
	}
	return d.scalar(name, k, v, text)
}

func (d *document) scalar(name string, k kind, v value, text string) json.RawMessage {
	switch k {
	case asInteger:
		if n, err := strconv.Atoi(text); err == nil {
			return json.RawMessage(strconv.Itoa(n))
		}
		d.wrong(name, v, "is not a whole number", "send a number such as 1")
	case asNumber:
		if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
		d.wrong(name, v, "is not a number", "send a number such as 90.5")
	case asBool:
		switch strings.ToLower(text) {
		case "true", "false":
			return json.RawMessage(strings.ToLower(text))
		}
		d.wrong(name, v, "is neither true nor false", "send true or false")
	case asTime:
		t, err := parseTime(text)
		if err == nil {
			return json.RawMessage(`"` + t.Format(time.RFC3339Nano) + `"`)
		}
		d.wrong(name, v, "is not an instant", timeRemedy)
	}
	return v.raw
}

func (d *document) weights(name string, v value) json.RawMessage {
	if !v.is('{') {
		d.wrong(name, v, "does not map colours to percentages", `send {"blue": 0, "green": 100}`)
		return v.raw
	}
	out := map[string]json.RawMessage{}
	for colour, share := range d.members(v) {
		if _, err := fairway.ParseColour(colour); err != nil {
			d.wrong(name, value{raw: json.RawMessage(strconv.Quote(colour)), at: share.at}, "names no colour", "use blue, green or direct")
		}
		if raw := d.convert(name+"."+colour, asInteger, share); raw != nil {
			out[colour] = raw
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return v.raw
	}
	return raw
}

func (d *document) wrong(name string, v value, message, remedy string) {
	d.add(v.at, fairway.Problem{Field: "data." + name, Value: strings.Trim(string(v.raw), `"`), Message: message, Remedy: remedy})
}
