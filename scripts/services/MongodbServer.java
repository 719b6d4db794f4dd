import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.ArrayFilters;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.Cursor;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.EmptyIndex;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.Utils;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryCollection;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.oplog.NoopOplog;
import io.netty.channel.Channel;

/**
 * A server for tests that implements MongoDB's protocol: mongo-java-server, in memory. This class only corrects where it differs from MongoDB and
 * Parley depends on it: exact results of guarded bulk writes, strings in the order of their code points, conflicts of indexes and hints, cursors that
 * stay open, lookups without reading all documents.
 * Commands run one at a time. Argument: the port, 0 for any free port. Prints the connection string when it is listening, and exits when its
 * standard input ends.
 */
public final class MongodbServer extends MemoryBackend {

    public static void main(String[] args) throws Exception {
        // A response shares objects with the stored data, so one thread must encode it before the next command runs.
        System.setProperty("io.netty.eventLoopThreads", "1");
        MongodbServer backend = new MongodbServer();
        backend.version(new MongoVersion() {
            @Override public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
            @Override public int getWireVersion() { return 13; }
        });
        MongoServer server = new MongoServer(backend);
        server.bind("127.0.0.1", Integer.parseInt(args[0]));
        System.out.println("mongodb://127.0.0.1:" + server.getLocalAddress().getPort() + "/?directConnection=true");
        System.in.transferTo(OutputStream.nullOutputStream());
        System.exit(0);
    }

    @Override
    public synchronized Document handleCommand(Channel channel, String db, String command, Document query) {
        return (Document) recode(run(channel, db, command, (Document) recode(query, true)), false);
    }

    private Document run(Channel channel, String db, String command, Document query) {
        if (command.equalsIgnoreCase("hello") || command.equalsIgnoreCase("ismaster")) {
            return super.handleCommand(channel, db, "ismaster", query).append("isWritablePrimary", true)
                .append("helloOk", true).append("logicalSessionTimeoutMinutes", 30).append("maxWriteBatchSize", 100_000);
        }
        if (command.equals("drop") && resolveDatabase(db).resolveCollection((String) query.get(command), false) == null) {
            throw new MongoServerError(26, "NamespaceNotFound", "ns not found");
        }
        Document before = checkIndexes(channel, db, command, query);
        if (before != null) {
            return before;
        }
        Document answer = super.handleCommand(channel, db, command, query);
        if (command.equals("find")) {
            leaveOpen((Document) answer.get("cursor"), query);
        }
        if (command.equals("insert") && answer.get("writeErrors") instanceof Collection<?> errors) {
            // The library counts all documents of the command. Parley's inserts are unordered, so only those with errors failed.
            answer.put("n", ((Collection<?>) query.get("documents")).size() - errors.size());
        }
        return answer;
    }

    /** Checks what a command says about indexes. Returns the answer of a command that the library does not have, otherwise null. */
    private Document checkIndexes(Channel channel, String db, String command, Document query) {
        if (!(query.get(command) instanceof String collection)) {
            return null;
        }
        boolean exists = resolveDatabase(db).resolveCollection(collection, false) != null;
        Document list = super.handleCommand(channel, db, "listIndexes", new Document("listIndexes", collection).append("$db", db));
        Collection<?> existing = (Collection<?>) ((Document) list.get("cursor")).get("firstBatch");
        if (!exists && (command.equals("listIndexes") || command.equals("collMod"))) {
            throw new MongoServerError(26, "NamespaceNotFound", "ns does not exist: " + db + "." + collection);
        }
        switch (command) {
            case "createIndexes" ->
                query.put("indexes", MongodbIndexes.missing((Collection<?>) query.get("indexes"), existing));
            case "find", "aggregate", "count" -> {
                if (exists) {
                    MongodbIndexes.checkHint(query.get("hint"), existing);
                }
            }
            case "update" -> {
                for (Object update : (Collection<?>) query.get("updates")) {
                    if (exists) {
                        MongodbIndexes.checkHint(((Document) update).get("hint"), existing);
                    }
                }
            }
            case "collMod" -> {
                Document change = (Document) query.get("index");
                Object name = MongodbIndexes.toChange(change, existing).get("name");
                Document set = new Document("$set", new Document("expireAfterSeconds", change.get("expireAfterSeconds")));
                Document which = new Document("ns", db + "." + collection).append("name", name);
                // The library stores indexes as documents.
                resolveDatabase(db).resolveCollection("system.indexes", false)
                    .updateDocuments(which, set, ArrayFilters.empty(), false, false, NoopOplog.get());
                return new Document("ok", 1.0);
            }
            default -> { }
        }
        return null;
    }

    /** Like MongoDB, leaves the cursor of a full batch open, unless the limit is reached: the next batch may be empty. The library looks ahead. */
    private void leaveOpen(Document cursor, Document query) {
        int size = ((Collection<?>) cursor.get("firstBatch")).size();
        int batchSize = query.get("batchSize") instanceof Number number ? number.intValue() : 101;
        int limit = query.get("limit") instanceof Number number ? number.intValue() : 0;
        if (size < batchSize || size == limit || ((Number) cursor.get("id")).longValue() != 0) {
            return;
        }
        long id = getCursorRegistry().generateCursorId();
        getCursorRegistry().add(new Cursor() {
            @Override public long getId() { return id; }
            @Override public boolean isEmpty() { return true; }
            @Override public List<Document> takeDocuments(int count) { return List.of(); }
        });
        cursor.put("id", id);
    }

    /**
     * Java orders strings by UTF-16 code units, MongoDB by code points. Within the server, surrogates are swapped with the code units above them,
     * which makes both orders the same. Copies only values that change.
     */
    private static Object recode(Object value, boolean in) {
        if (value instanceof String text) {
            if (text.chars().noneMatch(unit -> unit >= 0xD800)) {
                return text;
            }
            int first = in ? 0xE000 : 0xF800;
            StringBuilder changed = new StringBuilder(text.length());
            text.chars().forEach(unit -> changed.append((char)
                (unit < 0xD800 ? unit : unit >= first ? unit - (first - 0xD800) : unit + (0x10000 - first))));
            return changed.toString();
        }
        if (value instanceof Document document) {
            Document copy = null;
            for (Map.Entry<String, Object> entry : document.entrySet()) {
                Object changed = recode(entry.getValue(), in);
                if (changed != entry.getValue()) {
                    copy = copy == null ? document.clone() : copy;
                    copy.put(entry.getKey(), changed);
                }
            }
            return copy == null ? document : copy;
        }
        if (value instanceof Collection<?> list) {
            List<Object> copy = new ArrayList<>(list.size());
            boolean isChanged = false;
            for (Object element : list) {
                Object changed = recode(element, in);
                isChanged |= changed != element;
                copy.add(changed);
            }
            return isChanged ? copy : list;
        }
        return value;
    }

    @Override
    public MemoryDatabase openOrCreateDatabase(String name) {
        return new MemoryDatabase(name, getCursorRegistry()) {
            @Override
            protected MemoryCollection openOrCreateCollection(String collection, CollectionOptions options) {
                return new IndexedCollection(this, collection, options, cursorRegistry);
            }

            @Override
            protected Index<Integer> openOrCreateSecondaryIndex(String collection, String index, List<IndexKey> keys, boolean sparse) {
                return new FirstField(index, keys);
            }
        };
    }

    /** Looks up documents by _id, or by a value of the first field of an index; other queries read all documents. */
    private static final class IndexedCollection extends MemoryCollection {
        private final Map<Object, Integer> positions = new HashMap<>();

        IndexedCollection(MongoDatabase database, String name, CollectionOptions options, CursorRegistry cursors) {
            super(database, name, options, cursors);
        }

        /** Tracking the size would encode every document. */
        @Override
        protected boolean tracksDataSize() {
            return false;
        }

        @Override
        protected Integer addDocumentInternal(Document document) {
            Integer position = super.addDocumentInternal(document);
            positions.put(document.get("_id"), position);
            return position;
        }

        @Override
        protected void removeDocument(Integer position) {
            positions.remove(getDocument(position).get("_id"));
            super.removeDocument(position);
        }

        @Override
        protected QueryResult queryDocuments(Document query, Document order, int skip, int limit, int batchSize, Document fields) {
            Set<Object> ids = getIdField() == null ? null : find(query);
            if (ids == null) {
                return super.queryDocuments(query, order, skip, limit, batchSize, fields);
            }
            List<Integer> found = ids.stream().filter(positions::containsKey).map(positions::get).toList();
            return matchDocuments(query, found, order, skip, limit, batchSize, fields);
        }

        /** The _ids of all documents that may match, possibly more; null when any document may match. */
        private Set<Object> find(Document query) {
            List<Object> ids = values(query.get("_id"));
            if (ids != null) {
                return new LinkedHashSet<>(ids);
            }
            for (Index<Integer> index : getIndexes()) {
                List<Object> wanted = index instanceof FirstField first ? values(query.get(first.field)) : null;
                if (wanted != null) {
                    return union(wanted.stream().map(((FirstField) index)::find).toList());
                }
            }
            if (query.get("$or") instanceof Collection<?> parts) {
                List<Set<Object>> found = new ArrayList<>();
                parts.forEach(part -> found.add(find((Document) part)));
                return found.contains(null) ? null : union(found);
            }
            return null;
        }

        private static Set<Object> union(List<Set<Object>> sets) {
            Set<Object> all = new LinkedHashSet<>();
            sets.forEach(all::addAll);
            return all;
        }

        /** The values that a condition allows, null when it is not limited to some strings, numbers and booleans. */
        private static List<Object> values(Object condition) {
            if (condition instanceof Document operators) {
                if (operators.get("$in") instanceof Collection<?> values) {
                    return values.stream().allMatch(FirstField::takes) ? List.copyOf(values) : null;
                }
                return values(operators.get("$eq"));
            }
            return FirstField.takes(condition) ? List.of(condition) : null;
        }
    }

    /** The _ids of documents by the values of the first field of an index. */
    private static final class FirstField extends EmptyIndex<Integer> {
        final String field;
        private final Map<Object, Set<Object>> ids = new HashMap<>();

        FirstField(String name, List<IndexKey> keys) {
            super(name, keys);
            field = keys.get(0).getKey();
        }

        static boolean takes(Object value) {
            return value instanceof String || value instanceof Number || value instanceof Boolean;
        }

        Set<Object> find(Object value) {
            return ids.getOrDefault(keyOf(value), Set.of());
        }

        @Override
        public void add(Document document, Integer position, MongoCollection<Integer> collection) {
            for (Object key : keysOf(document)) {
                ids.computeIfAbsent(key, any -> new LinkedHashSet<>()).add(document.get("_id"));
            }
        }

        @Override
        public Integer remove(Document document) {
            for (Object key : keysOf(document)) {
                ids.computeIfPresent(key, (any, some) -> some.remove(document.get("_id")) && some.isEmpty() ? null : some);
            }
            return null;
        }

        @Override
        public void updateInPlace(Document before, Document after, Integer position, MongoCollection<Integer> collection) {
            remove(before);
            add(after, position, collection);
        }

        private List<Object> keysOf(Document document) {
            Object value = Utils.getSubdocumentValueCollectionAware(document, field);
            Collection<?> values = value instanceof Collection<?> elements ? elements : Collections.singletonList(value);
            return values.stream().filter(FirstField::takes).map(FirstField::keyOf).toList();
        }

        /** Numbers of different types are equal if their values are. */
        private static Object keyOf(Object value) {
            return value instanceof Number number ? (Object) (number.doubleValue() + 0.0) : value;
        }
    }
}
