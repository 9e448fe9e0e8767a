"""A database's structure from PostgreSQL's catalog, to compare ours with that of the published DDL."""

from __future__ import annotations

from vcpu_ladder.postgres.connect import Connection

_QUERIES = {
    "column": "SELECT format('%s.%s', attrelid::regclass, attname), format('%s null %s default %s',"
    " format_type(atttypid, atttypmod), NOT attnotnull, pg_get_expr(adbin, adrelid))"
    " FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
    " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped",
    "constraint": "SELECT conname, format('%s: %s validated %s enforced %s index %s', conrelid::regclass,"
    " pg_get_constraintdef(oid), convalidated, conenforced, conindid::regclass)"
    " FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
    "index": "SELECT indexrelid::regclass::text, format('%s valid %s ready %s primary %s',"
    " pg_get_indexdef(indexrelid), indisvalid, indisready, indisprimary)"
    " FROM pg_index JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = 'public'::regnamespace",
    "sequence": "SELECT s.oid::regclass::text, format('%s owned by %s', format_type(seqtypid, NULL),"
    " pg_describe_object(refclassid, refobjid, refobjsubid)) FROM pg_sequence"
    " JOIN pg_class s ON s.oid = seqrelid JOIN pg_depend ON pg_depend.objid = seqrelid AND deptype = 'a'"
    " WHERE relnamespace = 'public'::regnamespace",
    "trigger": "SELECT format('%s.%s', tgrelid::regclass, conname),"
    " string_agg(tgfoid::regproc::text || ' ' || tgenabled::text, ', ' ORDER BY tgfoid)"
    " FROM pg_trigger JOIN pg_constraint ON pg_constraint.oid = tgconstraint GROUP BY 1",
    "persistence": "SELECT oid::regclass::text, relpersistence::text FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace",
}


def structure(connection: Connection) -> dict[str, str]:
    """{"kind name": definition} of every column, constraint, index, sequence and foreign-key trigger."""
    return {
        f"{kind} {name}": definition
        for kind, query in _QUERIES.items()
        for name, definition in connection.execute(query.encode()).fetchall()
    }
