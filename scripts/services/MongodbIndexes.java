import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;

import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;

/** The checks of MongoDB for indexes, which the library does not have. Error codes are those of MongoDB. */
final class MongodbIndexes {
    private static final int BAD_VALUE = 2;
    private static final int INDEX_NOT_FOUND = 27;
    private static final int OPTIONS_CONFLICT = 85;
    private static final int KEY_SPECS_CONFLICT = 86;

    private MongodbIndexes() {
    }

    /** The indexes to create: those that do not exist. Rejects reserved names, and indexes that conflict with an existing one. */
    static List<Document> missing(Collection<?> wanted, Collection<?> existing) {
        List<Document> missing = new ArrayList<>();
        for (Object each : wanted) {
            Document spec = (Document) each;
            Object name = spec.get("name");
            if (name.equals("*") || name.equals("_id_")) {
                throw new MongoServerError(BAD_VALUE, "BadValue", "The index name '" + name + "' is not valid or reserved");
            }
            Document sameName = find(existing, index -> index.get("name").equals(name));
            Document sameKey = find(existing, index -> hasKey(index, spec.get("key")));
            if (sameName != null && sameName != sameKey) {
                throw new MongoServerError(KEY_SPECS_CONFLICT, "IndexKeySpecsConflict",
                    "An existing index has the same name as the requested index: " + name);
            }
            if (sameKey != null && sameName == null) {
                throw new MongoServerError(OPTIONS_CONFLICT, "IndexOptionsConflict",
                    "Index already exists with a different name: " + sameKey.get("name"));
            }
            if (sameKey != null && !Objects.equals(number(sameKey.get("expireAfterSeconds")), number(spec.get("expireAfterSeconds")))) {
                throw new MongoServerError(OPTIONS_CONFLICT, "IndexOptionsConflict",
                    "An equivalent index already exists with the same name but different options: " + name);
            }
            if (sameKey == null) {
                missing.add(spec);
            }
        }
        return missing;
    }

    /** The existing index that a `collMod` changes. */
    static Document toChange(Document change, Collection<?> existing) {
        Document found = find(existing, index -> change.containsKey("name")
            ? index.get("name").equals(change.get("name"))
            : hasKey(index, change.get("keyPattern")));
        if (found == null) {
            throw new MongoServerError(INDEX_NOT_FOUND, "IndexNotFound", "cannot find index " + change + " to modify");
        }
        return found;
    }

    /** A hint names an index, or repeats its key. */
    static void checkHint(Object hint, Collection<?> existing) {
        Document found = hint == null ? null
            : find(existing, index -> hint instanceof Document ? hasKey(index, hint) : index.get("name").equals(hint));
        if (hint != null && found == null) {
            throw new MongoServerError(BAD_VALUE, "BadValue",
                "error processing query: planner returned error :: caused by :: hint provided does not correspond to an existing index");
        }
    }

    private static Document find(Collection<?> indexes, Function<Document, Boolean> fits) {
        return indexes.stream().map(Document.class::cast).filter(fits::apply).findFirst().orElse(null);
    }

    /** Whether the index has this key: the same fields in the same order, with the same directions. */
    private static boolean hasKey(Document index, Object key) {
        Document own = (Document) index.get("key");
        Document other = (Document) key;
        return List.copyOf(own.keySet()).equals(List.copyOf(other.keySet()))
            && own.keySet().stream().allMatch(field -> number(own.get(field)).equals(number(other.get(field))));
    }

    /** Numbers of different types are equal if their values are. */
    private static Double number(Object value) {
        return value instanceof Number number ? number.doubleValue() : null;
    }
}
