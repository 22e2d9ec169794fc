import org.apache.http.client.methods.HttpGet;
import org.apache.http.impl.client.HttpClients;

/** Apache URL: one request by Apache HttpClient in its default configuration. */
public class Apache {
    public static void main(String[] arguments) throws Exception {
        HttpClients.createDefault().execute(new HttpGet(arguments[0])).close();
    }
}
