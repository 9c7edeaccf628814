package main

import (
	"fmt"
	"io"
	"net/http"
)

// goroutines asks the program's own metrics.
func (s *soak) goroutines() (float64, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.ready.Listen+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("/metrics answered %s", resp.Status)
	}
	return field("\n"+string(body), "\ngo_goroutines"), nil
}
