import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.concurrent.Callable;

/** Clients of Java's. Each says what it got from the host that is named. */
public class Clients {
    static int failed;

    static void attempt(String name, Callable<String> get) {
        String said;
        try {
            said = get.call();
        } catch (Exception error) {
            failed = 1;
            said = error.getClass().getSimpleName();
        }
        System.out.println(name + " " + said.strip());
    }

    static String url(String url) throws IOException {
        return new String(new URL(url).openStream().readAllBytes());
    }

    static String client(String url) throws Exception {
        var answer = HttpClient.newHttpClient()
            .send(HttpRequest.newBuilder(URI.create(url)).build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new IOException();
        return answer.body();
    }

    /** Registered with its selector before it is connected. */
    static String selected(String host) throws IOException {
        var channel = SocketChannel.open();
        channel.configureBlocking(false);
        var selector = Selector.open();
        var key = channel.register(selector, SelectionKey.OP_CONNECT);
        channel.connect(new InetSocketAddress(host, 80));
        var answer = ByteBuffer.allocate(10_000);
        while (true) {
            if (selector.select(10_000) == 0) throw new IOException("timeout");
            selector.selectedKeys().clear();
            if (key.isConnectable()) {
                channel.finishConnect();
                channel.write(ByteBuffer.wrap(("GET / HTTP/1.0\r\nHost: " + host + "\r\nConnection: close\r\n\r\n").getBytes()));
                key.interestOps(SelectionKey.OP_READ);
            } else if (channel.read(answer) < 0) {
                break;
            }
        }
        var lines = new String(answer.array(), 0, answer.position()).split("\r\n");
        if (!lines[0].contains(" 200 ")) throw new IOException();
        return lines[lines.length - 1];
    }

    public static void main(String[] arguments) {
        var host = arguments[0];
        attempt("URL", () -> url("http://" + host + "/"));
        attempt("HttpClient", () -> client("http://" + host + "/"));
        attempt("NIO", () -> selected(host));
        System.exit(failed);
    }
}
