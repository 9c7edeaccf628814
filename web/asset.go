package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"

	"github.com/fairwaycd/fairway"
)

//go:embed asset/*
var assetFiles embed.FS

var assetTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assetPath returns the address of an asset, which changes with its content,
// so that browsers keep it for good and never show an old one.
func assetPath(name string) (string, error) {
	b, err := assetFiles.ReadFile("asset/" + name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return "/assets/" + name + "?v=" + hex.EncodeToString(sum[:6]), nil
}

func (c *console) asset(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	b, err := assetFiles.ReadFile("asset/" + name)
	if err != nil {
		return fairway.Errorf(fairway.KindNotFound, "there is no asset %s", name)
	}
	w.Header().Set("Content-Type", assetTypes[path.Ext(name)])
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	w.Write(b)
	return nil
}
