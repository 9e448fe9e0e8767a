// The mock's twin in Go: net/http as documented, time.Sleep for the delay, the same lognormal.
// It keeps no statistics and no log, so the cost of those counts against the Python mock.
package main

import (
	"flag"
	"fmt"
	"hash/fnv"
	"log"
	"math"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	p50 := flag.Float64("p50-ms", 4000, "median delay")
	p99 := flag.Float64("p99-ms", 22000, "99th percentile of the delay")
	flag.Parse()
	sigma := math.Log(*p99 / *p50) / 2.3263

	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		query := r.URL.Query()
		key, wait := query.Get("key"), query.Get("waitms")
		hash := fnv.New64a()
		hash.Write([]byte(key))
		var delayMs float64
		if wait != "" {
			whole, err := strconv.Atoi(wait)
			if err != nil || whole < 0 || whole > 600000 {
				http.Error(w, "waitms", http.StatusBadRequest)
				return
			}
			delayMs = float64(whole)
		} else {
			// Not fixed by the key as in the mock: only the distribution matters here.
			delayMs = *p50 * math.Exp(sigma*rand.NormFloat64())
		}
		time.Sleep(time.Duration(delayMs * float64(time.Millisecond)))
		factor := 0.9 + 0.2*float64(hash.Sum64()>>11)/(1<<53)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"key":"%s","delay_ms":%.3f,"factor":%.4f}`, key, delayMs, factor)
	})

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "go twin: listening on %s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
