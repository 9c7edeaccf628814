package cloudevents

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fairwaycd/fairway"
)

// The media types of the structured and the batched mode.
const (
	MediaType      = "application/cloudevents+json"
	BatchMediaType = "application/cloudevents-batch+json"
)

// maxBatch is the largest number of events in one document.
const maxBatch = 1000

// Parse reads a document that holds one event, or an array of at most 1000.
// The error is of [fairway.KindInvalid] and lists every problem with line and
// column; then no event is returned.
func Parse(b []byte) ([]fairway.Event, error) {
	d, err := open(b)
	if err != nil {
		return nil, err
	}
	root := d.root()
	if !root.is('[') {
		e, ok := d.structured(root)
		if !ok {
			return nil, d.err()
		}
		return []fairway.Event{e}, nil
	}
	elements := d.elements(root)
	if len(elements) > maxBatch {
		d.add(root.at, fairway.Problem{Message: fmt.Sprintf("the batch holds %d events", len(elements)), Remedy: fmt.Sprintf("send at most %d at once", maxBatch)})
		return nil, d.err()
	}
	events := make([]fairway.Event, 0, len(elements))
	for _, v := range elements {
		if e, ok := d.structured(v); ok {
			events = append(events, e)
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return events, nil
}

// Read reads the events of a request whose body is at most limit bytes long:
// structured and batched by the content type, binary by ce-… headers, and a
// plain JSON body as what [Parse] finds in it. Errors are those of Parse; a
// failed connection is of [fairway.KindUnavailable].
func Read(r *http.Request, limit int64) ([]fairway.Event, error) {
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return nil, fairway.Invalid("Content-Encoding", c, "is not read here", "send the body as it is")
	}
	mediaType, err := mediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	body, err := readBody(r, limit)
	if err != nil {
		return nil, err
	}
	switch {
	case mediaType == MediaType:
		return single(body)
	case mediaType == BatchMediaType:
		return batch(body)
	case strings.HasPrefix(mediaType, "application/cloudevents"):
		return nil, fairway.Invalid("Content-Type", mediaType, "is an event format that is not read here", "send "+MediaType)
	case r.Header.Get("ce-specversion") != "":
		return binary(r.Header, body)
	case r.Header.Get("ce-cloudeventsversion") != "":
		return nil, fairway.Invalid("CE-CloudEventsVersion", r.Header.Get("ce-cloudeventsversion"), "is a version of CloudEvents that is not read here", "send 1.0, 0.3 or 0.2")
	case mediaType == "" || mediaType == "application/json":
		return Parse(body)
	}
	return nil, fairway.Invalid("Content-Type", mediaType, "is no CloudEvent: there are no ce- headers either", "send "+MediaType+", or the header ce-specversion with its companions")
}

// mediaType returns the type without parameters, in lower case. Of character
// sets only UTF-8 is read.
func mediaType(contentType string) (string, error) {
	if contentType == "" {
		return "", nil
	}
	t, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", fairway.Invalid("Content-Type", contentType, "is not a media type: "+err.Error(), "send "+MediaType)
	}
	structured := strings.HasPrefix(t, "application/cloudevents") || t == "application/json"
	if c := params["charset"]; structured && c != "" && !strings.EqualFold(c, "utf-8") {
		return "", fairway.Invalid("Content-Type", contentType, "names a character set that is not read here", "encode JSON as UTF-8")
	}
	return t, nil
}

func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		limit, err = tooLarge.Limit, nil
	}
	if err != nil {
		return nil, fairway.Errorf(fairway.KindUnavailable, "the event did not arrive whole: %w", err)
	}
	if tooLarge != nil || int64(len(b)) > limit {
		return nil, fairway.Invalid("body", "", fmt.Sprintf("is longer than %d bytes", limit), "send smaller events, or fewer at once")
	}
	return b, nil
}

// single reads a document that must be one event.
func single(body []byte) ([]fairway.Event, error) {
	if d, err := open(body); err == nil && d.root().is('[') {
		return nil, fairway.Invalid("Content-Type", MediaType, "announces one event, and the body is an array", "send "+BatchMediaType)
	}
	return Parse(body)
}

// batch reads a document that must be an array of events.
func batch(body []byte) ([]fairway.Event, error) {
	if d, err := open(body); err == nil && !d.root().is('[') {
		return nil, fairway.Invalid("Content-Type", BatchMediaType, "announces an array of events, and the body is none", "send "+MediaType)
	}
	return Parse(body)
}

// binary reads an event whose attributes are headers and whose data is the
// body.
func binary(h http.Header, body []byte) ([]fairway.Event, error) {
	d := &document{}
	env := envelope{attributes: map[string]attribute{}, at: -1}
	var content []string
	for name, values := range h {
		key, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		content = append(content, key+"="+strings.Join(values, ","))
		if !known[key] || key == "data_base64" || key == "datacontentencoding" || key == "datacontenttype" || key == "contenttype" {
			continue
		}
		if len(values) > 1 {
			d.add(-1, fairway.Problem{Field: "ce-" + key, Message: "is sent twice", Remedy: "send it once"})
			continue
		}
		text, err := headerText(values[0])
		if err != nil {
			d.add(-1, fairway.Problem{Field: "ce-" + key, Value: values[0], Message: "is not readable: " + err.Error(), Remedy: "percent-encode what is not printable ASCII"})
		}
		env.attributes[key] = attribute{text: text, at: -1}
	}
	slices.Sort(content) // headers have no order
	env.content = append([]byte(strings.Join(content, "\n")+"\n\n"), body...)
	if t := h.Get("Content-Type"); t != "" {
		env.attributes["datacontenttype"] = attribute{text: t, at: -1}
	}
	env.data = value{raw: d.payload(env.contentType(), body), at: -1}
	e := d.event(env)
	if err := d.err(); err != nil {
		return nil, err
	}
	return []fairway.Event{e}, nil
}

// headerText decodes a header's value. Version 0.2 writes JSON text, quotes
// included; later ones allow quotes; all percent-encode.
func headerText(s string) (string, error) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		if err := json.Unmarshal([]byte(s), &s); err != nil {
			return "", err
		}
	}
	return url.PathUnescape(s)
}
