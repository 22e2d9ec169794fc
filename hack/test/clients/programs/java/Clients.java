import java.net.URI;
import java.net.URL;

/** Clients CLIENT URL: one request by a client of the JDK in its default configuration. */
public class Clients {
    public static void main(String[] arguments) throws Exception {
        String url = arguments[1];
        switch (arguments[0]) {
            case "url-connection" -> new URL(url).openStream().readAllBytes();
            case "http-client" -> java.net.http.HttpClient.newHttpClient().send(
                java.net.http.HttpRequest.newBuilder(URI.create(url)).build(),
                java.net.http.HttpResponse.BodyHandlers.ofString());
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }
}
