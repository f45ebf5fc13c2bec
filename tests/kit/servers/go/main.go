// The Go verifier before an application that says whom it sees: `server PORT`. SECRETS is a folder of secrets by their
// key ids; NOW, when it is there, a file with the time; REMEMBER, how many signatures are kept.
package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"keyferryverify"
)

func main() {
	secrets := map[string][]byte{}
	files, _ := filepath.Glob(os.Getenv("SECRETS") + "/*")
	for _, file := range files {
		secret, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		secrets[filepath.Base(file)] = bytes.TrimSuffix(secret, []byte("\n"))
	}
	verifier := keyferryverify.New(secrets)
	if file := os.Getenv("NOW"); file != "" {
		verifier.Clock = func() time.Time {
			text, _ := os.ReadFile(file)
			now, _ := strconv.ParseInt(string(text), 10, 64)
			return time.Unix(now, 0)
		}
	}
	if remember, err := strconv.Atoi(os.Getenv("REMEMBER")); err == nil {
		verifier.Remember = remember
	}
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		digest := r.Header.Get("Content-Digest")
		if digest != "" && !keyferryverify.BodyFits(digest, body) {
			http.Error(w, "body_mismatch", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Echo-Client", r.Header.Get("X-Client-Id"))
		w.Header().Set("Echo-Key-Id", r.Header.Get("X-Key-Id"))
		w.Header().Set("Echo-Scopes", r.Header.Get("X-Key-Scopes"))
		io.WriteString(w, "ok")
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], verifier.Middleware(http.HandlerFunc(echo))))
}
