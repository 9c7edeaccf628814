package chart

import (
	"bytes"

	"github.com/fairwaycd/fairway"
)

// Image returns the artifact that a colour of the service is configured with,
// without its digest; ok is false when none was delivered to it. In a
// blue/green stage [fairway.Single] returns the image that the service was
// onboarded with.
func Image(files map[string][]byte, s fairway.ServiceName, c fairway.Colour) (a fairway.Artifact, ok bool, err error) {
	root, err := service(files[ValuesFile], s)
	if err != nil {
		return a, false, err
	}
	values := get(root, ColourKey(s, c))
	if values == nil {
		return a, false, noColour(s, c)
	}
	a = imageOf(values)
	if a.Image == "" {
		return a, false, nil
	}
	if err := a.Validate(); err != nil {
		ps := fairway.Problems(err)
		for i := range ps {
			ps[i] = problem(ValuesFile, get(values, "image", "repository"), ColourKey(s, c)+".image", ps[i].Message, ps[i].Remedy)
		}
		return a, false, fairway.InvalidAll(ps)
	}
	return a, true, nil
}

// SetImage configures a colour of the service with the artifact's image and
// tag, both as quoted text. There are no changes when it has them already.
func SetImage(files map[string][]byte, s fairway.ServiceName, c fairway.Colour, a fairway.Artifact) (map[string][]byte, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	data := files[ValuesFile]
	root, err := service(data, s)
	if err != nil {
		return nil, err
	}
	key := ColourKey(s, c)
	if get(root, key) == nil {
		return nil, noColour(s, c)
	}
	if c == fairway.Single && strategyIn(root, s) == fairway.BlueGreen {
		return nil, fairway.Errorf(fairway.KindRefused, "service %s has two colours in this stage; say which one gets %s", s, a)
	}
	var out []byte
	if out, err = setText(data, s, a.Image, key, "image", "repository"); err != nil {
		return nil, err
	}
	if out, err = setText(out, s, a.Tag, key, "image", "tag"); err != nil {
		return nil, err
	}
	if bytes.Equal(out, data) {
		return map[string][]byte{}, nil
	}
	return map[string][]byte{ValuesFile: out}, nil
}

func noColour(s fairway.ServiceName, c fairway.Colour) error {
	return fairway.Errorf(fairway.KindRefused, "service %s has no place %s in this stage, whose strategy for it is %s", s, c, fairway.Direct)
}
