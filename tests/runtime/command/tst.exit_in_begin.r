still in the clause
end

