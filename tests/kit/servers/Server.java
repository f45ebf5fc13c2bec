// The Java verifier before a servlet that says whom it sees, in an embedded Tomcat: `Server PORT FOLDER`. SECRETS is a folder
// of secrets by their key ids; NOW, when it is there, a file with the time; REMEMBER, how many signatures are kept.

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.buf.EncodedSolidusHandling;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;

public final class Server {
    static final class Echo extends HttpServlet {
        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
            String digest = request.getHeader("Content-Digest");
            try {
                if (digest != null && !KeyferryFilter.bodyFits(digest, request.getInputStream().readAllBytes())) {
                    response.setStatus(401);
                    response.getWriter().print("body_mismatch");
                    return;
                }
            } catch (GeneralSecurityException error) {
                throw new IOException(error);
            }
            response.setHeader("Echo-Client", request.getHeader("X-Client-Id"));
            response.setHeader("Echo-Key-Id", request.getHeader("X-Key-Id"));
            String scopes = request.getHeader("X-Key-Scopes");
            response.setHeader("Echo-Scopes", scopes == null ? "" : scopes);
            response.getWriter().print("ok");
        }
    }

    private static long read(Path file) {
        try {
            return Long.parseLong(Files.readString(file));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, byte[]> secrets = new HashMap<>();
        try (var files = Files.list(Path.of(System.getenv("SECRETS")))) {
            for (Path file : files.toList()) {
                byte[] bytes = Files.readAllBytes(file);
                int length = bytes[bytes.length - 1] == '\n' ? bytes.length - 1 : bytes.length;
                secrets.put(file.getFileName().toString(), Arrays.copyOf(bytes, length));
            }
        }
        String now = System.getenv("NOW");
        LongSupplier clock = () -> now == null ? System.currentTimeMillis() / 1000 : read(Path.of(now));
        String remember = System.getenv().getOrDefault("REMEMBER", "100000");

        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[1]);
        Connector connector = new Connector();
        connector.setPort(Integer.parseInt(arguments[0]));
        connector.setProperty("address", "127.0.0.1");
        // What the gateway signed is what the application gets, also with %2F in the path.
        connector.setEncodedSolidusHandling(EncodedSolidusHandling.PASS_THROUGH.getValue());
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", arguments[1]);
        FilterDef filter = new FilterDef();
        filter.setFilterName("keyferry");
        filter.setFilter(new KeyferryFilter(secrets, Integer.parseInt(remember), clock));
        context.addFilterDef(filter);
        FilterMap map = new FilterMap();
        map.setFilterName("keyferry");
        map.addURLPattern("/*");
        context.addFilterMap(map);
        Tomcat.addServlet(context, "echo", new Echo());
        context.addServletMappingDecoded("/", "echo");
        tomcat.start();
        tomcat.getServer().await();
    }
}
