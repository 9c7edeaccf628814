// Package cloudevents reads CloudEvents from HTTP requests and files.
//
// It accepts versions 0.2, 0.3 and 1.0 in structured, batched and binary mode
// and turns each into a [fairway.Event], which is always 1.0. Senders of the
// years when 0.2 was current leave out what that version required and write
// some words differently; what they mean is clear, so it is read as meant:
//
//	new-artefact                    new-artifact
//	teststategy                     teststrategy
//	contenttype                     datacontenttype
//	id missing, or Jenkins' "1234"  an id derived from the content
//	source missing                  "unknown"
//	"true", "3" where true, 3 is meant, and numbers where text is
//	20190411-09:14:31.123           2019-04-11T09:14:31.123Z
//
// In 0.3 and 1.0 a missing id or source is an error. Nothing here knows a
// clock: an event that names no time keeps the zero time, for its receiver to
// replace.
package cloudevents
