// Tells in an answer's header what Go's net/http understood of each request.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	log.SetOutput(io.Discard)
	tell := func(answer http.ResponseWriter, request *http.Request) {
		body, problem := io.ReadAll(request.Body)
		if problem != nil {
			panic(http.ErrAbortHandler)
		}
		understood := fmt.Sprintf("x%x,x%x,x%x,x%x", request.Method, request.RequestURI, request.Host, body)
		answer.Header().Set("X-Saw", understood)
	}
	_ = http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(tell))
	os.Exit(1)
}
